"""From a file's lines to spans: the readers that formats of spans share, with counts of what was not used."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fl_assets.events.formats.evaluations import Evaluation
from fl_assets.events.formats.seam import DEFAULT_OPTIONS, Lines, Read, ReadOptions, RefusedLine, json_records
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.traces import events_of
from fl_assets.events.formats.values import NoTimesError, as_list, as_object, objects_of


class NotUsed(NamedTuple):
    """Something that is no call, no turn and no error; it is counted by name."""

    name: str


Found = Span | Evaluation | str | NotUsed
"""What a format yields: spans, evaluations, and a text for each span that cannot be read."""
_FOUND = (Span, Evaluation)
Records = Iterable[tuple[int, Any]]
SpansOf = Callable[[Any], Iterable[Found]]
SpansOfFile = Callable[[Records], Iterable[tuple[int, Found]]]


def span_reader(of_record: SpansOf, noun: str = "spans") -> Callable[..., Iterator[Read]]:
    """Return a format's `read`, from a function that yields the spans of one JSON value.

    Args:
        of_record: yields spans, and a text for each that cannot be read; raises ValueError for a value that
            is not of this format.
        noun: what this format calls its spans.
    """

    def read(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[Read]:
        return events_of(_by_record(lines, of_record, noun), options)

    return read


def entry_reader(
    of_entry: Callable[[dict[str, Any]], Span | Evaluation | NotUsed], noun: str
) -> Callable[..., Iterator[Read]]:
    """Return a format's `read`, from a function that returns the span of one entry.

    A JSON value is an entry, a page of an API with entries as `data`, or a list of either.

    Args:
        of_entry: raises ValueError where an entry cannot be read.
        noun: what this format calls its entries.
    """

    def of_record(value: Any) -> Iterator[Found]:
        for entry in value if isinstance(value, list) else [value]:
            for one in as_list(as_object(entry).get("data")) or [entry]:
                try:
                    yield of_entry(as_object(one))
                except ValueError as error:
                    yield str(error)

    return span_reader(of_record, noun)


def file_reader(of_file: SpansOfFile, noun: str = "spans") -> Callable[..., Iterator[Read]]:
    """Return a format's `read`, from a function that needs all JSON values of a file to find spans.

    Args:
        of_file: yields spans with their lines, and a text for each that cannot be read.
        noun: what this format calls its spans.
    """

    def read(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[Read]:
        return events_of(_by_file(lines, of_file, noun), options)

    return read


def _each(value: Any) -> list[Any]:
    """Return the objects of a list, else the value alone; unwrap documents of Elasticsearch."""
    is_list = isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    return [document for one in (value if is_list else [value]) for document in _documents(one) or [one]]


def _documents(value: Any) -> list[dict[str, Any]]:
    """Return the documents in an answer of Elasticsearch, or in one of its hits; [] for anything else."""
    if not isinstance(value, dict) or value.keys().isdisjoint({"hits", "_source", "_index"}):
        return []
    found = []
    for hit in objects_of(as_object(value.get("hits")).get("hits")) or [value]:
        if not (source := as_object(hit.get("_source"))) and (fields := as_object(hit.get("fields"))):
            source = {key: (as_list(one) or [one])[0] for key, one in fields.items()}
        found += [source] if source else []
    return found


def _found_in(value: Any, of_record: SpansOf) -> Iterator[Found]:
    ones = _each(value)
    if len(ones) == 1 and ones[0] is value:
        yield from of_record(value)
        return
    for one in ones:
        try:
            yield from of_record(one)
        except NoTimesError:
            raise
        except ValueError as error:
            yield str(error)


def _by_record(
    lines: Lines, of_record: SpansOf, noun: str
) -> Iterator[tuple[int, Span | Evaluation] | RefusedLine]:
    unused: Counter[str] = Counter()
    for record in json_records(lines):
        if isinstance(record, RefusedLine):
            yield record
            continue
        line, value = record
        bad: list[str] = []
        total = 0
        try:
            for span in _found_in(value, of_record):
                total += 1
                if isinstance(span, _FOUND):
                    yield line, span
                elif isinstance(span, NotUsed):
                    unused[span.name] += 1
                else:
                    bad.append(span)
        except NoTimesError as error:
            yield RefusedLine(0, "unsupported_format", str(error), 0)
        except ValueError as error:
            yield RefusedLine(line, "bad_record", str(error))
        if bad:
            yield _refused(line, bad, total, noun)
    yield from _said_of(unused)


def _by_file(
    lines: Lines, of_file: SpansOfFile, noun: str
) -> Iterator[tuple[int, Span | Evaluation] | RefusedLine]:
    refused: list[RefusedLine] = []
    unused: Counter[str] = Counter()

    def records() -> Iterator[tuple[int, Any]]:
        for record in json_records(lines):
            if isinstance(record, RefusedLine):
                refused.append(record)
            else:
                yield from ((record[0], one) for one in _each(record[1]))

    bad: dict[int, list[str]] = {}
    try:
        for line, span in of_file(records()):
            if isinstance(span, _FOUND):
                yield line, span
            elif isinstance(span, NotUsed):
                unused[span.name] += 1
            else:
                bad.setdefault(line, []).append(span)
    except NoTimesError as error:
        yield RefusedLine(0, "unsupported_format", str(error), 0)
    yield from refused
    for line, texts in bad.items():
        yield _refused(line, texts, len(texts), noun)
    yield from _said_of(unused)


def _said_of(unused: Counter[str]) -> Iterator[RefusedLine]:
    """Yield one line for a file with what was not used, by name."""
    if unused:
        names = ", ".join(f"{count} {name[:60]}" for name, count in unused.most_common(5))
        more = f" and {len(unused) - 5} more kinds" if len(unused) > 5 else ""
        yield RefusedLine(
            0, "not_used", f"{unused.total()} records are no calls, turns or errors: {names}{more}", 0
        )


def _refused(line: int, bad: list[str], total: int, noun: str) -> RefusedLine:
    """Return one refusal for a line, with how many of its spans could not be read, and why the first."""
    is_unit = " looks like " in bad[0]
    return RefusedLine(
        line,
        "wrong_time_unit" if is_unit else "bad_span",
        f"{len(bad)} of {total} {noun}: {bad[0]}",
        len(bad),
    )
