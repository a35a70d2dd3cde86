"""Dividing files among Spark tasks: large ones are split at line ends, small ones are grouped."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from fl_assets.events.find import Source
from fl_assets.events.formats import detect
from fl_assets.events.read import BLOCK_BYTES, Reading, read_head

TASK_BYTES = 128 * 1024 * 1024
"""About what one task reads: a larger file is split, unless it is compressed or not native."""
MIN_TASK_BYTES = 8 * 1024 * 1024
"""Smallest part of a file, since starting a task takes a second."""


def parts_of(context: Any, sources: list[Source]) -> list[tuple[int, Source]]:
    """Return files with their numbers, those larger than a quarter of a core's share in parts.

    A Spark job counts the lines of the large ones first.
    """
    share = max(
        MIN_TASK_BYTES,
        min(TASK_BYTES, sum(source.weight for source in sources) // (4 * context.defaultParallelism)),
    )
    ranges = [
        (number, source, begin, min(begin + share, source.size))
        for number, source in enumerate(sources)
        if source.size - source.offset > share
        and source.coding is None
        and source.refused is None
        and detect(source.name, read_head(source)) is None
        for begin in range(source.offset, source.size, share)
    ]
    if not ranges:
        return list(enumerate(sources))
    counts = (
        context.parallelize(ranges, len(ranges)).map(lambda each: (each[0], line_ends(*each[1:]))).collect()
    )
    counted = {
        number: [count for _, count in group] for number, group in groupby(counts, key=lambda each: each[0])
    }
    return [
        (number, part)
        for number, source in enumerate(sources)
        for part in divided(source, counted.get(number, []))
    ]


def line_ends(source: Source, begin: int, end: int) -> tuple[int, int]:
    """Return the number of line ends in a range of a plain file, and the position of the first, or -1."""
    count, first, at = 0, -1, begin
    with source.open() as file:
        file.seek(begin)
        while block := file.read(min(BLOCK_BYTES, end - at)):
            if first < 0 <= (found := block.find(b"\n")):
                first = at + found
            count += block.count(b"\n")
            at += len(block)
    return count, first


def divided(source: Source, counts: Sequence[tuple[int, int]]) -> list[Source]:
    """Split a plain file into parts that end with a line and have the number of lines before them."""
    cuts, lines = [(source.offset, source.lines)], source.lines
    for place, (count, first) in enumerate(counts):
        if place and 0 <= first < source.size - 1:
            cuts.append((first + 1, lines + 1))
        lines += count
    ends = [*cuts[1:], (source.size, 0)]
    return [
        replace(source, offset=offset, lines=before, size=end)
        for (offset, before), (end, _) in zip(cuts, ends, strict=True)
    ]


def joined(parts: Sequence[Reading], source: Source) -> Reading:
    """Merge the results of a file's parts, in order; it counts as read up to the first unfinished part."""
    last = next((part for part in parts if part.end_offset < part.source.size), parts[-1])
    return replace(last, source=source, problems=[], mended=sum(part.mended for part in parts))


def groups_of(parts: list[tuple[int, Source]], cores: int) -> list[list[tuple[int, Source]]]:
    """Group files into tasks of about equal bytes: largest first, each to the smallest task."""
    weights = [source.weight + 1 for _, source in parts]
    count = min(len(parts), max(cores, sum(weights) // TASK_BYTES))
    groups: list[list[tuple[int, Source]]] = [[] for _ in range(count)]
    sizes = [0] * count
    for place in sorted(range(len(parts)), key=lambda place: (-weights[place], place)):
        least = sizes.index(min(sizes))
        groups[least].append(parts[place])
        sizes[least] += weights[place]
    return [sorted(group, key=lambda each: (each[0], each[1].offset)) for group in groups]
