"""Posting alerts to a webhook.

What goes here: sending, retrying, remembering what was sent. What does not: the messages
(`report/alert_text.py`).

The URL is a secret: it is in no log, error or file, and redirects, which would reveal it, are not followed.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr, TypeAdapter, ValidationError

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.redaction import redact
from fl_assets.infra.disk import write_atomically
from fl_assets.infra.http import Deadline, HttpError, exchange, failed, retrying
from fl_assets.report.alert_text import Alert, failed_cycle, slack_message

TIMEOUT_SECS = 5
ATTEMPTS = 3
"""With the waits between them, an alert that cannot be sent delays a run by some twenty seconds at most."""
MAX_WAIT_SECS = 5.0
KEPT_DAYS = 60
_SENT = TypeAdapter(dict[str, list[str]])
VARIABLE = "FEDERATED_LEARNING_ALERT_WEBHOOK"


class AlertError(RuntimeError):
    """The alerts could not be sent; the text says why and does not hold the URL."""


def send_new(
    webhook: SecretStr | None, sent_file: Path, alerts: Sequence[Alert], *, wait_secs: float = 1.0
) -> list[Alert]:
    """Send the alerts that were not sent before, in one message; return them.

    Without a webhook nothing is sent.

    Raises:
        AlertError: the webhook did not accept the message; the next call tries again.
    """
    sent = _read(sent_file)
    new = [alert for alert in alerts if alert.key not in sent.get(str(alert.day), [])]
    if webhook is None or not new:
        return []
    post(webhook, slack_message(new), wait_secs=wait_secs)
    for alert in new:
        sent.setdefault(str(alert.day), []).append(alert.key)
    kept = {day: sorted(sent[day]) for day in sorted(sent)[-KEPT_DAYS:]}
    sent_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(sent_file, orjson.dumps(kept, option=orjson.OPT_INDENT_2))
    return new


def _read(sent_file: Path) -> dict[str, list[str]]:
    """Return what was sent; nothing where that cannot be read, for an alert twice is better than none."""
    try:
        return _SENT.validate_json(sent_file.read_bytes())
    except (OSError, ValidationError):
        return {}


def notify_failure(settings: FederatedLearningConfig, run_id: str, day: date, reason: str) -> str | None:
    """Send the alert of a failed run, once; return why it could not be sent, None if it was."""
    alert = failed_cycle(run_id, day, redact(reason))
    try:
        send_new(settings.alert_webhook, sent_file_in(settings.data_path), [alert])
    except AlertError as error:
        return str(error)
    return None


def sent_file_in(data_path: Path) -> Path:
    """Return the file with the alerts that were sent."""
    return data_path / "reports" / "alerts_sent.json"


def post(webhook: SecretStr, message: dict[str, Any], *, wait_secs: float = 1.0) -> None:
    """Post a message as JSON; after connection errors, 429 and 5xx it is tried again.

    Raises:
        AlertError: it was not accepted.
    """
    call = retrying(ATTEMPTS, first_wait=2 * wait_secs, max_wait=MAX_WAIT_SECS)
    try:
        call(_post, webhook, orjson.dumps(message))
    except HttpError as error:
        why = f"it answered {error.status}" if error.status else f"it could not be reached ({error})"
        # `from None`, for a chained error could hold the URL.
        message_ = f"alerts were not sent to {VARIABLE}: {why}"
        raise AlertError(message_) from None


def _post(webhook: SecretStr, body: bytes) -> None:
    url, kind = webhook.get_secret_value(), {"content-type": "application/json"}
    deadline = Deadline(TIMEOUT_SECS)
    answer = exchange("POST", url, deadline=deadline, limit=0, body=body, headers=kind, status_only=True)
    if not 200 <= answer.status < 300:
        raise failed(answer)
