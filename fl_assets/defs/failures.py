"""How a run says that it refuses something, in one line.

What goes here: errors that a person can do something about, shown without the calls that led to them. What
does not: their words, or redaction (`events/redaction/errors.py`).
"""

import functools
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError  # noqa: TID251  no public name in 1.13
from dagster_shared.error import SerializableErrorInfo


class RefusedError(DagsterUserCodeProcessError, dg.Failure):
    """A failure that Dagster shows and stores as its sentence alone; it is not retried.

    Dagster takes the stack of whatever is raised, save for errors that another process has sent as text:
    those are shown as they were sent.
    """

    def __init__(self, sentence: str) -> None:
        sent = SerializableErrorInfo(message=f"{sentence}\n", stack=[], cls_name=None)
        super().__init__(sentence, user_code_process_error_infos=[sent])
        self.allow_retries = False


def in_one_line(*errors: type[Exception]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator of a step in which errors of these kinds fail the run with their sentence alone."""

    def decorated(step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def made(*args: Any, **kwargs: Any) -> Any:
            try:
                return step(*args, **kwargs)
            except errors as error:
                raise RefusedError(str(error)) from None

        return made

    return decorated
