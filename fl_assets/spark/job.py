"""The script of a Spark job: `python -m fl_assets.spark.job '<order as JSON>'`.

What goes here: reporting progress and the answer, through Dagster Pipes when Dagster started it, else on
standard output. What does not: the work (`tasks.py`), starting it (`engine.py`, `defs/resources.py`).
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
def _channel() -> Iterator[tuple[Callable[[str], None], Callable[[dict[str, Any]], None]]]:
    """Yield two functions: one for progress messages, one for the answer."""
    if PipesEnvVarParamsLoader().is_dagster_pipes_process():
        with open_dagster_pipes() as pipes:
            yield pipes.log.info, pipes.report_custom_message
    else:

        def send(message: dict[str, Any]) -> None:
            sys.stdout.write(json.dumps({"fl_assets": message}) + "\n")
            sys.stdout.flush()

        yield lambda text: send({"progress": text}), send


def main() -> None:
    """Carry out the order and answer; errors are answered too, redacted, as they may quote a line."""
    # no data goes through pandas here
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    order = json.loads(sys.argv[1])
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with _channel() as (report_progress, answer):
        try:
            answer(run(order, report_progress))
        except Exception as error:  # the outer edge of the job
            answer({"error": redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]})


if __name__ == "__main__":
    main()
