"""Counting the events of a file by day without ingesting them, for the sensor."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from itertools import pairwise

import numpy as np

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.events.bulk import decoded, time_texts
from fl_assets.events.event import FIRST_TELEMETRY, event_day, parse_time
from fl_assets.events.find import Source
from fl_assets.events.formats import detect
from fl_assets.events.formats.seam import EventLine, Format, ReadOptions
from fl_assets.events.mapping_files import mapped_formats
from fl_assets.events.read import Reading, line_batches, numbered_lines, read_head
from fl_assets.events.unread import could_be_events

_MAX_KNOWN = 100_000
"""Times whose day is cached."""


def count_by_day(source: Source, now: datetime, settings: FederatedLearningConfig) -> Counter[date]:
    """Count the events of a file by day, from where reading ended.

    What ingestion would refuse (a line that is no event, or whose time cannot be read) or leave out (from
    before the first day) is not counted. Damage ends the count without an error, since ingestion reports it.
    """
    counts: Counter[date] = Counter()
    if source.refused:
        return counts
    head = read_head(source)
    entry = detect(source.name, head, mapped_formats(settings.mapping_path))
    if entry.table != "events" if entry else not (could_be_events(head) or source.offset):
        return counts
    reading, days = Reading(source), dict[tuple[str | None, ...], date | None]()
    with suppress(Exception):
        for line in _lines_of(entry, reading, now, settings) if entry else _lines(reading, now, settings):
            texts = time_texts(decoded(line))
            if texts is None:
                continue
            key = (_second(texts[0]), _second(texts[1]))
            if key not in days:
                if len(days) > _MAX_KNOWN:
                    days.clear()
                days[key] = _day(texts, now, settings.start_date)
            if day := days[key]:
                counts[day] += 1
    return counts


def _second(text: str | None) -> str | None:
    """Return a time in UTC without its fraction, under which its day is cached; any other text as it is."""
    if text is None or not text.endswith("Z") or not text.isascii():
        return text
    fraction = text[19:-1]
    return text[:19] if not fraction or (fraction[0] == "." and fraction[1:].isdigit()) else text


def _day(texts: tuple[str | None, ...], now: datetime, start: date) -> date | None:
    """Return the day of an event with these times, None where it is refused or left out."""
    times = [parse_time(text) for text in texts if text is not None]
    if None in times:
        return None
    time = next(iter(times), None)
    return None if time and FIRST_TELEMETRY <= time.date() < start else event_day(time, now, start)[0]


def _lines_of(
    entry: Format, reading: Reading, now: datetime, settings: FederatedLearningConfig
) -> Iterator[memoryview]:
    """Yield the events that a format reads, as native lines."""
    options = ReadOptions(settings.start_date, settings.node_attributes)
    for row in entry.read(numbered_lines(reading, now), options):
        if isinstance(row, EventLine):
            yield memoryview(row.data)


def _lines(reading: Reading, now: datetime, settings: FederatedLearningConfig) -> Iterator[memoryview]:
    """Yield native lines."""
    for batch in line_batches(reading, 0, max_line_bytes=settings.max_line_bytes, now=now):
        lines = batch.column(2)
        _, offsets, data = lines.buffers()
        ends = np.frombuffer(offsets, dtype=np.int32)[lines.offset :][: len(batch) + 1].tolist()
        text = memoryview(data)
        for begin, end in pairwise(ends):
            yield text[begin:end]
