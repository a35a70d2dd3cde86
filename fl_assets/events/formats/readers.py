"""From a file's lines to spans: the readers that formats of spans share, with counts of what was not used."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from fl_assets.events.formats.evaluations import Evaluation
from fl_assets.events.formats.seam import (
    DEFAULT_OPTIONS,
    UNFORESEEN,
    Lines,
    Read,
    RefusedLine,
    in_words,
    json_records,
)
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import NoTimesError
from fl_assets.events.formats.traces import events_of
from fl_assets.events.formats.values import as_list, as_object, bounded, objects_of


class NotUsed(NamedTuple):
    """Something that is no call, no turn and no error; it is counted by name."""

    name: str


Row = Span | Evaluation
Found = Row | str | NotUsed
"""What a format yields: spans, evaluations, and a text for each span that cannot be read."""
Records = Iterable[tuple[int, Any]]
SpansOf = Callable[[Any], Iterable[Found]]
SpansOfFile = Callable[[Records], Iterable[tuple[int, Found]]]
_T = TypeVar("_T")
Reader = Callable[..., Iterator[Read]]
"""The `read` of a format."""


def span_reader(of_record: SpansOf, noun: str = "spans", pages: str = "") -> Reader:
    """Return a format's `read`, from a function that yields the spans of one JSON value.

    Args:
        of_record: gets values that are no lists; raises ValueError for one that is not of this format.
        noun: what this format calls its spans.
        pages: names of the lists in which an answer of an API, or a batch, has its values.
    """
    return lambda lines, options=DEFAULT_OPTIONS: events_of(
        _by_record(lines, of_record, noun, pages), options
    )


def entry_reader(
    of_entry: Callable[[dict[str, Any]], Row | NotUsed], noun: str = "spans", pages: str = "data"
) -> Reader:
    """Return a format's `read`, from a function that returns the span of one entry, or raises ValueError."""
    return span_reader(lambda value: [or_reason(of_entry, as_object(value))], noun, pages)


def file_reader(of_file: SpansOfFile, noun: str = "spans", pages: str = "") -> Reader:
    """Return a format's `read`, from a function that needs all JSON values of a file to find spans.

    It yields spans with their lines, and a text for each that cannot be read. What it holds is lost where it
    fails: it takes values by `each_taken`.
    """
    return lambda lines, options=DEFAULT_OPTIONS: events_of(_by_file(lines, of_file, noun, pages), options)


def or_reason(make: Callable[..., _T], *given: Any) -> _T | str:
    """Return what a function makes of the given; where it fails, the reason as a text."""
    try:
        return make(*given)
    except NoTimesError:
        raise
    except UNFORESEEN as error:
        return in_words(error)


def each_taken(
    given: Iterable[tuple[int, _T]], take: Callable[[int, _T], Iterable[tuple[int, Found]]]
) -> Iterator[tuple[int, Found]]:
    """Yield what a function makes of each value and its line; one that it fails over costs itself only."""
    for line, value in given:
        try:
            yield from take(line, value)
        except NoTimesError:
            raise
        except UNFORESEEN as error:
            yield line, in_words(error)


def values_in(value: Any, pages: str = "") -> list[Any]:
    """Return the values in lists, at any depth, and in the named lists of objects, else the value alone."""
    found, held = [], [value]
    while held:
        one = held.pop()
        whole = as_object(one)
        inner = [whole[name] for name in pages.split() if isinstance(whole.get(name), list)] or _documents(
            one
        )
        inner = one if isinstance(one, list) else inner
        if inner or isinstance(one, list):
            held += reversed(inner)
        else:
            found.append(bounded(one))
    return found


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


class _Tally:
    """What a format finds beside rows: what is not used, by name, and why values cannot be read, by line."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self.seen = 0
        self._unused: Counter[str] = Counter()
        self._bad: dict[int, list[str]] = {}

    def rows(self, found: Iterable[tuple[int, Found]]) -> Iterator[tuple[int, Row]]:
        """Yield the rows, count the rest."""
        for line, one in found:
            self.seen += 1
            if isinstance(one, NotUsed):
                self._unused[one.name] += 1
            elif isinstance(one, str):
                self._bad.setdefault(line, []).append(one)
            else:
                yield line, one

    def refused(self, total: int = 0) -> Iterator[RefusedLine]:
        """Yield one refusal for each line, with how many of its spans cannot be read, and why the first."""
        for line, reasons in self._bad.items():
            words = f"{len(reasons)} of {total or len(reasons)} {self._noun}: {reasons[0]}"
            is_unit = " looks like " in reasons[0]
            yield RefusedLine(line, "wrong_time_unit" if is_unit else "bad_span", words, len(reasons))
        self._bad, self.seen = {}, 0

    def unused(self) -> Iterator[RefusedLine]:
        """Yield one refusal for the file, with what was not used of it, by name."""
        if self._unused:
            names = ", ".join(f"{count} {name[:60]}" for name, count in self._unused.most_common(5))
            more = f" and {len(self._unused) - 5} more kinds" if len(self._unused) > 5 else ""
            count = self._unused.total()
            said = "records are no calls, turns or errors"
            said = "record is no call, turn or error" if count == 1 else said
            words = f"{count} {said}: {names}{more}"
            yield RefusedLine(0, "not_used", words, 0)


def _by_record(
    lines: Lines, of_record: SpansOf, noun: str, pages: str
) -> Iterator[tuple[int, Row] | RefusedLine]:
    tally = _Tally(noun)
    for record in json_records(lines):
        if isinstance(record, RefusedLine):
            yield record
            continue
        line, value = record
        try:
            yield from tally.rows((line, found) for found in _found_in(value, of_record, pages))
        except NoTimesError as error:
            yield RefusedLine(0, "unsupported_format", str(error), 0)
        except ValueError as error:
            yield RefusedLine(line, "bad_record", str(error))
        yield from tally.refused(tally.seen)
    yield from tally.unused()


def _found_in(value: Any, of_record: SpansOf, pages: str) -> Iterator[Found]:
    """Yield what a record holds; of several values in it, one that is not of the format costs itself only."""
    for one in values_in(value, pages):
        try:
            yield from of_record(one)
        except ValueError as error:
            if one is value or isinstance(error, NoTimesError):
                raise
            yield str(error)


def _by_file(
    lines: Lines, of_file: SpansOfFile, noun: str, pages: str
) -> Iterator[tuple[int, Row] | RefusedLine]:
    tally = _Tally(noun)
    refused: list[RefusedLine] = []

    def records() -> Iterator[tuple[int, Any]]:
        for record in json_records(lines):
            if isinstance(record, RefusedLine):
                refused.append(record)
            else:
                yield from ((record[0], one) for one in values_in(record[1], pages))

    try:
        yield from tally.rows(of_file(records()))
    except NoTimesError as error:
        yield RefusedLine(0, "unsupported_format", str(error), 0)
    yield from refused
    yield from tally.refused()
    yield from tally.unused()
