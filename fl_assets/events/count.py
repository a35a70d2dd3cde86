"""Counting the events of a file by day without ingesting them, for the sensor."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from itertools import pairwise

import numpy as np

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.event import event_day, parse_time
from fl_assets.events.find import Source
from fl_assets.events.formats import detect
from fl_assets.events.formats.seam import EventLine, Format, ReadOptions
from fl_assets.events.mapping_files import mapped_formats
from fl_assets.events.read import Reading, line_batches, numbered_lines, read_head
from fl_assets.events.unread import could_be_events

_STAMP = re.compile(rb'"timestamp"\s*:\s*"([^"\\]{1,40})"')
_MAX_KNOWN = 100_000
"""Timestamps whose day is cached."""


def count_by_day(source: Source, now: datetime, settings: FederatedLearningConfig) -> Counter[date]:
    """Count the events of a file by day, from where reading ended.

    Each line with an id counts, by the last timestamp in it. Damage ends the count without an error, since
    ingestion reports it.
    """
    counts: Counter[date] = Counter()
    if source.refused:
        return counts
    head = read_head(source)
    entry = detect(source.name, head, mapped_formats(settings.mapping_path))
    if entry.table != "events" if entry else not (could_be_events(head) or source.offset):
        return counts
    reading, days = Reading(source), dict[bytes, date]()
    with suppress(Exception):
        for stamp in _stamps_of(entry, reading, now, settings) if entry else _stamps(reading, now, settings):
            if stamp not in days:
                if len(days) > _MAX_KNOWN:
                    days.clear()
                key = stamp[:10] if stamp.endswith(b"Z") else stamp
                text = stamp.decode(errors="replace")
                days[stamp] = days.get(key) or event_day(parse_time(text), now, settings.start_date)[0]
            counts[days[stamp]] += 1
    return counts


def _stamps_of(
    entry: Format, reading: Reading, now: datetime, settings: FederatedLearningConfig
) -> Iterator[bytes]:
    """Yield the timestamps of the events that a format reads."""
    options = ReadOptions(settings.start_date, settings.node_attributes)
    for row in entry.read(numbered_lines(reading, now), options):
        if isinstance(row, EventLine):
            yield _stamp(row.data, 0, len(row.data))


def _stamps(reading: Reading, now: datetime, settings: FederatedLearningConfig) -> Iterator[bytes]:
    """Yield the timestamps of native events."""
    for batch in line_batches(reading, 0, max_line_bytes=settings.max_line_bytes, now=now):
        lines = batch.column(2)
        _, offsets, data = lines.buffers()
        ends = np.frombuffer(offsets, dtype=np.int32)[lines.offset :][: len(batch) + 1].tolist()
        text = data.to_pybytes()
        for begin, end in pairwise(ends):
            if text.find(b'"event_id"', begin, end) >= 0:
                yield _stamp(text, begin, end)


def _stamp(text: bytes, begin: int, end: int) -> bytes:
    """Return the last timestamp between two positions, or b''."""
    at = text.rfind(b'"timestamp"', begin, end)
    match = _STAMP.match(text, at, end) if at >= 0 else None
    return match.group(1) if match else b""
