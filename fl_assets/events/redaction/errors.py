"""Errors, redacted: what a step raises is written to Dagster's databases, shown, and sent as an alert.

What goes here: the one place where an error leaves our code. Every asset, check, sensor and schedule has
`without_secrets`, the command line and the Python API have `redacted_errors`.
"""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fl_assets.events.redaction.engine import redact


class RedactedError(RuntimeError):
    """An error whose text held personal data or a secret; the text begins with the class that it had."""


@contextmanager
def redacted_errors() -> Iterator[None]:
    """Pass errors on without what they quote of telemetry.

    An error in whose text nothing is masked stays what it is, without the errors that it was raised from,
    whose texts are written down as well.

    Raises:
        RedactedError: for an error in whose text something is masked.
    """
    masked: RedactedError | None = None
    try:
        yield
    except Exception as error:
        if redact(str(error)) == str(error) and redact(repr(error.args)) == repr(error.args):
            raise error from None
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = redact(f"{type(error).__name__}: {error}")
        masked = RedactedError(f"{said} ({place.name}, line {place.lineno})")
    if masked:
        raise masked from None


def without_secrets(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of an asset, check, sensor or schedule whose errors are redacted."""
    if inspect.isgeneratorfunction(step):

        @functools.wraps(step)
        def made(*args: Any, **kwargs: Any) -> Any:
            with redacted_errors():
                yield from step(*args, **kwargs)

    else:

        @functools.wraps(step)
        def made(*args: Any, **kwargs: Any) -> Any:
            with redacted_errors():
                return step(*args, **kwargs)

    made.has_redacted_errors = True  # ty: ignore[missing-attribute] - what a test asks for
    return made
