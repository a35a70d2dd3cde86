"""Fit the weights of `fl_assets/events/redaction/likelihood.json`, and tell how well such a fit generalises.

Run: `python benchmarks/redaction_fit.py [--leave-one-out [NAME ...]] [--regularity C ...]`. Without
`--leave-one-out` the weights are written. With it, each blind corpus is redacted with a fit on all others:
recall and precision of its passwords and keys, by the rules (which were mended by it) and the model (which
was not), and by the model alone the recall of the words of its secrets, and how many others it takes for one.

What it is fitted on: the labelled corpora (`redaction_corpus.py`, `redaction_corpus.jsonl`,
`redaction_blind.jsonl`), sentences of the author of the model (`redaction_told.txt`, a secret in `‹›`, a
telephone number in `⟪⟫`), the examples of the rules; and lines with a word for a secret that the rules leave
alone, of the Python library and of the packages installed, and of real telemetry where it lies beside the
project. Since few authors think of passwords that are words and of codes, each labelled password is also
given with another password, and with a made-up one; each telephone number with others. Words are seen both
among labelled values and among placeholders, as they are when the rules have run. What is seen in fewer than
three corpora gets no weight.
"""

import argparse
import gzip
import json
import random
import re
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from redaction import ours, score
from redaction_corpus import rows
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from fl_assets.events.redaction import likelihood, residue_named, shapes, spoken_numbers
from fl_assets.events.redaction.likelihood import NUMBERS, SECRETS
from fl_assets.events.redaction.linear import finder, searcher
from fl_assets.events.redaction.rules import RULES

HERE = Path(__file__).parent
WEIGHTS = Path(likelihood.__file__).with_suffix(".json")
_ENDS = (3882, 6483, 10986, 14222, 16269, 17006, 19052, 20394, 21123, 21864)
"""Where the corpora in `redaction_blind.jsonl` end: the first five, the seventh to ninth, the tenth to
thirteenth two by two, the fourteenth, the fifteenth."""
TELEMETRY = HERE.parents[1] / "shared/data"
"""Real telemetry, which is read where it is there; nothing of it is kept here."""
_LABELS = {"PASSWORD", "API_KEY"}
_find_marks = re.compile("‹[^›]*›|⟪[^⟫]*⟫|[^‹⟪]+").findall
ALONE = "alone"
"""The name of texts in which nothing is to be found."""
_LEAST_SEEN, _LEAST_CORPORA = 4, 3
_REGULARITY = 0.3
_WEIGHT_OF_TOLD = 3
"""What was written for the model counts more than templates with many values."""
_LEAST_WEIGHT = 0.08
_is_about_secrets = searcher(
    "(?i)passw|token|secret|key|login|auth|code|pin|session|cookie|credential|signature"
)
_shaped = finder(shapes.RULES[-1].find)
_finders = [
    (finder(rule.find), of, least)
    for rule, of, least in zip(
        shapes.RULES,
        (shapes.near_signs, shapes.look_so),
        (shapes.LEAST_LIKELY, shapes.LEAST_LIKELY_ALONE),
        strict=True,
    )
]
Seen = tuple[str, bool, float, tuple[str, ...]]
"""Corpus, whether it is a secret, the least score that masks it, what is seen."""


def _marked(text: str) -> dict:
    """Return a text with its secrets in `‹›` and telephone numbers in `⟪⟫` as a row of a corpus."""
    spans, plain = [], ""
    for piece in _find_marks(text):
        if piece[0] in "‹⟪":
            spans.append(
                [len(plain), len(plain) + len(piece) - 2, "PASSWORD" if piece[0] == "‹" else "PHONE"]
            )
            piece = piece[1:-1]
        plain += piece
    return {"text": plain, "spans": spans}


def corpora(extra: Iterable[Path]) -> dict[str, list[dict]]:
    """Return the labelled corpora by name."""

    def read(path: Path) -> list[dict]:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]

    blind = read(HERE / "redaction_blind.jsonl")
    told = (HERE / "redaction_told.txt").read_text(encoding="utf-8").splitlines()
    examples = [
        _marked(text.replace("‹", "⟪").replace("›", "⟫") if rule.entity == "PHONE" else text)
        for rule in RULES
        for text in (*rule.examples, *rule.stays)
        if rule.entity in (*_LABELS, "PHONE") or text in rule.stays
    ]
    return {
        "tuned": list(rows()),
        "held out": read(HERE / "redaction_corpus.jsonl"),
        **{f"blind to {end}": blind[at:end] for at, end in zip((0, *_ENDS), _ENDS, strict=False)},
        "told": [_marked(line.replace("\\n", "\n").replace("\\t", "\t")) for line in told],
        "examples": examples,
        **{path.stem: read(path) for path in extra},
    }


def _made(draw: random.Random, words: list[str], old: str) -> str:
    """Return a made-up password of words, or a code for a code."""
    if old.isdigit() and len(old) <= 8:
        shape = draw.choice(
            ("0000", "0000", "00000", "000000", "000000", "0000#", "A0000", "0000B", "00-00-00", "000-000")
        )
        return "".join(str(draw.randrange(10)) if c == "0" else c for c in shape)
    one, two, three = (draw.choice(words) for _ in range(3))
    return draw.choice(
        (
            one + two,
            one + two + three,
            f"{one}-{two}",
            draw.choice(".-_&!~").join((one.capitalize(), two.capitalize())),
            one.capitalize() + two.capitalize(),
            f"{one}{two}{draw.randrange(10000)}",
            f"{one.capitalize()}-{two}-{draw.randrange(100)}",
        )
    )


def _with(row: dict, which: int, value: str) -> dict:
    """Return a row with another value at one of its spans."""
    start, end, _ = row["spans"][which]
    grown = len(value) - (end - start)
    spans = [[a + grown * (a > start), b + grown * (b >= end), entity] for a, b, entity in row["spans"]]
    return {"text": row["text"][:start] + value + row["text"][end:], "spans": spans}


def _masked(row: dict, kept: int | None = None) -> dict:
    """Return a row with the values of its spans masked, all but one at the most."""
    for which in range(len(row["spans"])):
        if which != kept:
            row = _with(row, which, f"<{row['spans'][which][2]}>")
    return {**row, "spans": [] if kept is None else [row["spans"][kept]]}


def _variants(draw: random.Random, corpus: list[dict]) -> Iterator[dict]:
    words = [w for r in corpus for w in r["text"].split() if w.isalpha() and w.islower() and 3 <= len(w) <= 9]
    values = [
        r["text"][a:b] for r in corpus for a, b, name in r["spans"] if name == "PASSWORD" and b - a < 40
    ]
    for row in corpus:
        spans = sorted(row["spans"])
        if not spans or any(a[1] > b[0] for a, b in pairwise(spans)):
            continue
        row = {"text": row["text"], "spans": spans}
        yield _masked(row)
        if len(spans) > 1:
            yield _masked(row, draw.randrange(len(spans)))
        passwords = [i for i, (a, b, name) in enumerate(spans) if name == "PASSWORD" and b - a < 40]
        for turn in range(3 if passwords else 0):
            which = draw.choice(passwords)
            old = row["text"][spans[which][0] : spans[which][1]]
            value = draw.choice(values) if turn else _made(draw, words, old)
            if " " not in value and (not turn or value.isdigit() == old.isdigit()):
                yield _with(row, which, value)


def _other_numbers(draw: random.Random, corpus: list[dict]) -> Iterator[dict]:
    """Give texts with another telephone number of the corpus in each."""
    values = [r["text"][a:b] for r in corpus for a, b, name in r["spans"] if name == "PHONE"]
    for row in corpus:
        numbers = [which for which, span in enumerate(row["spans"]) if span[2] == "PHONE"]
        for _ in range(2 if numbers else 0):
            yield _with(row, draw.choice(numbers), draw.choice(values))


def _spans(row: dict) -> list[tuple[int, int, str]]:
    """Return the spans of a row by bytes."""

    def at(place: int) -> int:
        return len(row["text"][:place].encode("utf-8", "surrogatepass"))

    return [(at(start), at(end), entity) for start, end, entity in row["spans"]]


def seen(name: str, corpus: Iterable[dict]) -> Iterator[Seen]:
    """Give the words that are scored in the texts of a corpus, with what is seen of them."""
    for row in corpus:
        text, spans = row["text"].encode("utf-8", "surrogatepass"), _spans(row)
        done: set[int] = set()
        for find, candidates, least in _finders:
            for words, chosen in candidates(text, find(text)):
                for place in chosen:
                    start, end, word = words[place]
                    if start in done or word.startswith(b"<"):
                        continue
                    done.add(start)
                    touched = {entity for a, b, entity in spans if a < end and b > start}
                    if not touched or touched & _LABELS:
                        what = map(sys.intern, SECRETS.seen_of(text, words, place))
                        yield name, bool(touched), least, tuple(what)


def numbers_seen(name: str, corpus: Iterable[dict]) -> Iterator[Seen]:
    """Give the same of groups of digits."""
    for row in corpus:
        text, spans = row["text"].encode("utf-8", "surrogatepass"), _spans(row)
        for words, place in spoken_numbers.numbers_near_signs(text):
            start, end, _ = words[place]
            touched = {entity for a, b, entity in spans if a < end and b > start}
            if not touched or "PHONE" in touched:
                what = map(sys.intern, NUMBERS.seen_of(text, words, place))
                yield name, bool(touched), spoken_numbers.LEAST_LIKELY_NUMBER, tuple(what)


def left_alone(draw: random.Random, telemetry: Path) -> list[dict]:
    """Return texts in which the rules find nothing, most with a word for a secret."""
    texts = []
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
    files = sorted(path for place in places for path in place.rglob("*.py"))
    for path in draw.sample(files, min(2500, len(files))):
        lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
        about = [i for i, line in enumerate(lines) if len(line) < 200 and _is_about_secrets(line.encode())]
        chosen = draw.sample(about, min(4, len(about))) + draw.sample(range(len(lines)), min(2, len(lines)))
        texts += ["\n".join(lines[max(i - 1, 0) : i + 2])[:400] for i in chosen]
    events = (event for path in telemetry.glob("*/events.jsonl.gz") for event in _events(path))
    told = sorted({text for event in events for text in _texts(event)})
    about = [text for text in told if _is_about_secrets(text.encode())]
    so = [
        text for text in told if any(one for _, one in shapes.look_so(text.encode(), _shaped(text.encode())))
    ]
    numbers = [text for text in told if any(numbers_seen(ALONE, [{"text": text, "spans": []}]))]
    texts += draw.sample(about, min(4000, len(about))) + draw.sample(so, min(12000, len(so))) + numbers
    return [{"text": text, "spans": []} for text in texts if not residue_named(text)]


def _texts(told: object) -> Iterator[str]:
    """Give the beginnings of the texts in an event."""
    if isinstance(told, str):
        yield told[:2000]
    elif isinstance(told, dict):
        for one in told.values():
            yield from _texts(one)


def _events(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _matrix(given: Sequence[Seen], places: dict[str, int]) -> csr_matrix:
    columns, ends = [], [0]
    for *_, what in given:
        columns += [places[one] for one in what if one in places]
        ends.append(len(columns))
    matrix = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(given), len(places)))
    matrix.sum_duplicates()
    return matrix


def fit(given: Sequence[Seen], regularity: float) -> dict[str, float]:
    """Return weights fitted on words; what was seen too seldom has none."""
    counts: Counter[str] = Counter()
    among: defaultdict[str, set[str]] = defaultdict(set)
    for name, *_, what in given:
        if name != ALONE:
            counts.update(what)
            for one in what:
                among[one].add(name)
    kept = [one for one, n in counts.items() if n >= _LEAST_SEEN and len(among[one]) >= _LEAST_CORPORA]
    places = {one: place for place, one in enumerate(sorted(kept))}
    fitted = LogisticRegression(C=regularity, solver="liblinear", max_iter=300, random_state=0)
    importance = np.array([_WEIGHT_OF_TOLD if name in ("told", "examples") else 1 for name, *_ in given])
    labels = np.array([is_secret for _, is_secret, *_ in given])
    fitted.fit(_matrix(given, places), labels, sample_weight=importance)
    found = {one: round(float(fitted.coef_[0][at]), 2) for one, at in places.items()}
    found = {one: weight for one, weight in found.items() if abs(weight) >= _LEAST_WEIGHT}
    return found | {"always": round(found.get("always", 0.0) + float(fitted.intercept_[0]), 2)}


def leave_one_out(
    given: dict[str, list[dict]],
    words: dict[str, list[Seen]],
    numbers: dict[str, list[Seen]],
    left_out: Iterable[str],
    regularity: float,
) -> None:
    """Print what fits on all corpora but one find in that one."""
    all_of: dict[str, Counter[str]] = {entity: Counter() for entity in ("PASSWORD", "API_KEY", "PHONE")}
    for out in left_out:
        for model, seen_in in ((SECRETS, words), (NUMBERS, numbers)):
            model.use(fit([one for name in seen_in if name != out for one in seen_in[name]], regularity))
        scores = score(given[out], ours)
        told = []
        for entity, counts in all_of.items():
            if entity not in scores:
                continue
            of = scores[entity]
            counts.update(spans=of["spans"], found=round((of["recall"] or 0) * of["spans"]))
            counts.update(made=of["redactions"], right=round((of["precision"] or 0) * of["redactions"]))
            told.append(f"{entity} {of['recall']} at {of['precision']} ({of['spans']})")
        for what, model, corpus in (
            ("words", SECRETS, seen(out, given[out])),
            ("numbers", NUMBERS, numbers_seen(out, given[out])),
        ):
            found = Counter(
                (is_one, sum(model.weights.get(one, 0.0) for one in names) >= least)
                for _, is_one, least, names in corpus
            )
            right = f"{found[True, True]} of {found[True, True] + found[True, False]} {what}"
            told.append(f"{right} and {found[False, True]} others")
        print(f"{out}: {', '.join(told)}", flush=True)
    for entity, n in all_of.items():
        print(
            f"regularity {regularity}, all: {entity} {n['found'] / n['spans']:.4f} at "
            f"{n['right'] / n['made']:.4f}, {n['spans'] - n['found']} missed, "
            f"{n['made'] - n['right']} others",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leave-one-out", nargs="*", help="corpora, or none for all blind ones")
    parser.add_argument("--regularity", type=float, nargs="*", default=[_REGULARITY], help="of the fit")
    parser.add_argument("--extra", type=Path, nargs="*", default=[], help="more labelled corpora, JSONL")
    parser.add_argument("--telemetry", type=Path, default=TELEMETRY, help="folders of events.jsonl.gz")
    arguments = parser.parse_args()
    draw = random.Random(7)
    SECRETS.use({})
    NUMBERS.use({})
    given = corpora(arguments.extra)
    words = {
        name: [*seen(name, corpus), *seen(name, _variants(draw, corpus))] for name, corpus in given.items()
    }
    numbers = {
        name: [*numbers_seen(name, corpus), *numbers_seen(name, _other_numbers(draw, corpus))]
        for name, corpus in given.items()
    }
    alone = left_alone(draw, arguments.telemetry)
    print(
        f"{len(alone)} texts without any; telemetry is {'' if arguments.telemetry.is_dir() else 'not '}there"
    )
    words[ALONE], numbers[ALONE] = list(seen(ALONE, alone)), list(numbers_seen(ALONE, alone))
    if arguments.leave_one_out is not None:
        left_out = arguments.leave_one_out or [name for name in given if name.startswith("blind")]
        for regularity in arguments.regularity:
            leave_one_out(given, words, numbers, left_out, regularity)
        return
    weights = {
        name: dict(
            sorted(fit([one for some in of.values() for one in some], arguments.regularity[0]).items())
        )
        for name, of in (("number", numbers), ("secret", words))
    }
    source = f"{len(given)} corpora, {sum(map(len, given.values()))} texts; benchmarks/redaction_fit.py"
    content = json.dumps({"source": source, "weights": weights}, ensure_ascii=False, indent=0)
    WEIGHTS.write_text(content + "\n", encoding="utf-8")
    print({name: len(of) for name, of in weights.items()})


if __name__ == "__main__":
    main()
