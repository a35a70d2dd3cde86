"""Failures that Dagster shows as one line without a stack trace.

What does not go here: the words of errors, or redaction (`events/redaction/errors.py`).
"""

import functools
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError  # noqa: TID251  no public name in 1.13
from dagster_shared.error import SerializableErrorInfo


class RefusedError(DagsterUserCodeProcessError, dg.Failure):
    """A failure that Dagster shows and stores as its sentence alone, and does not retry.

    Dagster records the stack of every error except those that another process sent as text.
    """

    def __init__(self, sentence: str) -> None:
        sent = SerializableErrorInfo(message=f"{sentence}\n", stack=[], cls_name=None)
        super().__init__(sentence, user_code_process_error_infos=[sent])
        self.allow_retries = False


def in_one_line(*errors: type[Exception]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that turns errors of these kinds into a `RefusedError`."""

    def decorated(step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def made(*args: Any, **kwargs: Any) -> Any:
            try:
                return step(*args, **kwargs)
            except errors as error:
                raise RefusedError(str(error)) from None

        return made

    return decorated
