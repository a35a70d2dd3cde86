"""Recall of redaction when the same values come as terminals, transports and pages give them.

Run: `python benchmarks/redaction_wrapped.py [--corpus FILE] [--every N]`. Each labelled span of a corpus is
wrapped in each form of `WRAPPERS`; printed is the recall of each entity plain and wrapped, and where it falls
by more than .03.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from redaction import BLIND, HELD_OUT, canonical, ours, score

FULL_WIDTH = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))


def _inside(mark: str) -> Callable[[str], str]:
    return lambda value: value[: len(value) // 2] + mark + value[len(value) // 2 :]


WRAPPERS: dict[str, Callable[[str], str]] = {
    "coloured": lambda value: f"\x1b[31m{value}\x1b[0m",
    "coloured, bold and nested": lambda value: f"\x1b[1;38;5;196m{value}\x1b[0m\x1b[K",
    "colours written out, \\u001b": lambda value: f"\\u001b[31m{value}\\u001b[0m",
    "colours written out, \\x1b": lambda value: f"\\x1b[31m{value}\\x1b[0m",
    "colours written out, \\033": lambda value: f"\\033[31m{value}\\033[0m",
    "full-width digits": lambda value: value.translate(FULL_WIDTH),
    "b'…'": lambda value: f"b'{value}'",
    "value=…": lambda value: f"value={value}",
    "<b>…</b>": lambda value: f"<b>{value}</b>",
    "<span class>…</span>": lambda value: f'<span class="hl">{value}</span>',
    "&quot;…&quot;": lambda value: f"&quot;{value}&quot;",
    "after \\n written out": lambda value: f"\\n{value}",
    "after \\t written out": lambda value: f"\\t{value}",
    'between \\"': lambda value: f'\\"{value}\\"',
    'between \\\\\\"': lambda value: f'\\\\\\"{value}\\\\\\"',
    "after a zero-width space": lambda value: f"\u200b{value}",
    "after LRM": lambda value: f"\u200e{value}",
    "after a CJK letter": lambda value: f"中{value}",
    "zero-width space inside": _inside("\u200b"),
    "soft hyphen inside": _inside("\u00ad"),
    "**…**": lambda value: f"**{value}**",
    "`…`": lambda value: f"`{value}`",
    "after _": lambda value: f"_{value}",
    "percent-encoded": lambda value: "".join(
        char if char.isalnum() else "".join(f"%{byte:02X}" for byte in char.encode()) for char in value
    ),
}
WHOLE: dict[str, Callable[[str, list[list]], tuple[str, list[list]]]] = {}


def wrapped(row: dict, wrap: Callable[[str], str]) -> dict:
    """Return a row whose spans are wrapped; those that another one overlaps are left out."""
    text, spans, end = "", [], 0
    for start, stop, entity in sorted(row["spans"]):
        if start < end:
            continue
        text += row["text"][end:start]
        value = row["text"][start:stop]
        new = wrap(value)
        at = max(new.find(value), 0)
        spans.append([len(text) + at, len(text) + (at + len(value) if value in new else len(new)), entity])
        text, end = text + new, stop
    return {"text": text + row["text"][end:], "spans": spans}


def at_columns(row: dict, columns: int = 80) -> dict:
    """Return a row that a terminal broke: the first span begins ten characters before the edge."""
    first = min(row["spans"])[0]
    column = first - row["text"].rfind("\n", 0, first) - 1
    padding = "x" * ((columns - 10 - column - 1) % columns) + " "
    text, place, at = "", [], 0
    for char in row["text"][: first - column] + padding + row["text"][first - column :]:
        if at == columns and char != "\n":
            text, at = text + "\n", 0
        place.append(len(text))
        text, at = text + char, 0 if char == "\n" else at + 1
    shifted = [len(padding) if start >= first - column else 0 for start, *_ in row["spans"]]
    spans = [
        [place[start + by], place[stop + by - 1] + 1, entity]
        for (start, stop, entity), by in zip(row["spans"], shifted, strict=True)
    ]
    return {"text": text, "spans": spans}


def in_json(row: dict) -> dict:
    """Return a row as a string of JSON within a string of JSON."""

    def escaped(text: str) -> str:
        return json.dumps(json.dumps(text)[1:-1])[1:-1]

    spans = [
        [len(escaped(row["text"][:start])), len(escaped(row["text"][:stop])), entity]
        for start, stop, entity in row["spans"]
    ]
    return {"text": escaped(row["text"]), "spans": spans}


FORMS: dict[str, Callable[[dict], dict]] = {
    **{name: lambda row, wrap=wrap: wrapped(row, wrap) for name, wrap in WRAPPERS.items()},
    "wrapped at 80 columns": at_columns,
    "JSON in JSON": in_json,
}


def recalls(corpus: list[dict]) -> dict[str, dict[str, float]]:
    """Return recall by form and entity; `plain` is the corpus as it is."""
    found: dict[str, dict[str, float]] = {}
    for name, form in {"plain": lambda row: row, **FORMS}.items():
        scores = score([form(row) for row in corpus], ours)
        found[name] = {
            entity: value["recall"]
            for entity, value in scores.items()
            if isinstance(value, dict) and value["recall"] is not None
        }
    return found


def sample(every: int, paths: tuple[Path, ...] = (HELD_OUT, BLIND)) -> list[dict]:
    """Return each n-th text with spans of each entity of the corpora."""
    chosen, seen = [], defaultdict(int)
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if not row["spans"]:
                continue
            start, end, entity = row["spans"][0]
            name = canonical(entity, row["text"][start:end])
            seen[name] += 1
            if seen[name] % every == 0:
                chosen.append(row)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="JSONL of your own")
    parser.add_argument("--every", type=int, default=10, help="take each n-th text of an entity")
    arguments = parser.parse_args()
    corpus = sample(arguments.every, *([(arguments.corpus,)] if arguments.corpus else []))
    found = recalls(corpus)
    plain = found.pop("plain")
    print(f"{len(corpus)} texts; plain: {plain}")
    for name, recall in found.items():
        worse = {entity: f"{value:.2f}" for entity, value in recall.items() if value < plain[entity] - 0.03}
        print(f"{name:32} mean {sum(recall.values()) / len(recall):.3f}  worse: {worse}")


if __name__ == "__main__":
    main()
