"""The script that a Spark job is: `python -m fl_assets.spark.job '<order as JSON>'`.

What goes here: who is told of progress and of the answer: Dagster, through Pipes, when Dagster started it;
else standard output. What does not: the work (`spark/tasks.py`), starting it (`spark/engine.py`,
`resources.py`).
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

from fl_assets.events.redaction import redact
from fl_assets.spark.tasks import run

_MAX_ERROR_CHARS = 4000


@contextmanager
def _told() -> Iterator[tuple[Callable[[str], None], Callable[[dict[str, Any]], None]]]:
    """Give two functions: one for progress in words, one for the answer."""
    if PipesEnvVarParamsLoader().is_dagster_pipes_process():
        with open_dagster_pipes() as pipes:
            yield pipes.log.info, pipes.report_custom_message
    else:

        def say(what: dict[str, Any]) -> None:
            sys.stdout.write(json.dumps({"fl_assets": what}) + "\n")
            sys.stdout.flush()

        yield lambda text: say({"told": text}), say


def main() -> None:
    """Carry the order out and answer; what fails is answered too, redacted: an error may quote a line."""
    warnings.filterwarnings(
        "ignore", message="PySpark does not yet fully support pandas"
    )  # no data goes through pandas here
    order = json.loads(sys.argv[1])
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with _told() as (tell, answer):
        try:
            answer(run(order, tell))
        except Exception as error:  # the outer edge of the job
            answer({"error": redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]})


if __name__ == "__main__":
    main()
