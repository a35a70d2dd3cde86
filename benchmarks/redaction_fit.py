"""Fit the weights of `fl_assets/events/redaction/likelihood.json`, and tell how well such a fit generalises.

Run: `python benchmarks/redaction_fit.py [--leave-one-out [NAME ...]] [--regularity C ...]`. Without
`--leave-one-out` the weights are written. With it, each blind corpus is redacted with a fit on all others:
recall and precision of its passwords and keys, by the rules (which were mended by it) and the model (which
was not), and by the model alone the recall of the words of its secrets, and how many others it takes for one.

What it is fitted on: the labelled corpora (`redaction_corpus.py`, `redaction_corpus.jsonl`,
`redaction_blind.jsonl`), sentences of the author of the model (`redaction_told.txt`, a value between `‹` and
`›`), the examples of the rules; and lines with a word for a secret that the rules leave alone, of the Python
library and of the packages installed, and of real telemetry where it lies beside the project. Since few
authors think of passwords that are words and of codes, each labelled password is also given with another
password, and with a made-up one. Words are seen both among labelled values and among placeholders, as they
are when the rules have run. What is seen in fewer than three corpora gets no weight.
"""

import argparse
import gzip
import json
import random
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

from fl_assets.events.redaction import likelihood, residue_named, shapes
from fl_assets.events.redaction.linear import finder, searcher
from fl_assets.events.redaction.rules import RULES

HERE = Path(__file__).parent
WEIGHTS = Path(likelihood.__file__).with_suffix(".json")
_ENDS = (3882, 6483, 10986, 14222, 16269, 17006, 19052, 20394, 21123)
"""Where the corpora in `redaction_blind.jsonl` end, the seventh to ninth and those after them two by two."""
TELEMETRY = HERE.parents[1] / "shared/data"
"""Real telemetry, which is read where it is there; nothing of it is kept here."""
_LABELS = {"PASSWORD", "API_KEY"}
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
    (finder(rule.find), of)
    for rule, of in zip(shapes.RULES, (shapes.near_signs, shapes.look_so), strict=True)
]
Seen = tuple[str, bool, tuple[str, ...]]
"""Corpus, whether it is a secret, what is seen."""


def _marked(text: str) -> dict:
    """Return a text with its values between `‹` and `›` as a row of a corpus."""
    spans, plain = [], ""
    for piece in text.split("‹"):
        value, mark, rest = piece.partition("›")
        if mark:
            spans.append([len(plain), len(plain) + len(value), "PASSWORD"])
        plain += value + rest
    return {"text": plain, "spans": spans}


def corpora(extra: Iterable[Path]) -> dict[str, list[dict]]:
    """Return the labelled corpora by name."""

    def read(path: Path) -> list[dict]:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]

    blind = read(HERE / "redaction_blind.jsonl")
    told = (HERE / "redaction_told.txt").read_text(encoding="utf-8").splitlines()
    secret = [rule for rule in RULES if rule.entity in _LABELS]
    return {
        "tuned": list(rows()),
        "held out": read(HERE / "redaction_corpus.jsonl"),
        **{f"blind to {end}": blind[at:end] for at, end in zip((0, *_ENDS), _ENDS, strict=False)},
        "told": [_marked(line.replace("\\n", "\n").replace("\\t", "\t")) for line in told],
        "examples": [
            _marked(text) if rule in secret else {"text": text.replace("‹", "").replace("›", ""), "spans": []}
            for rule in secret
            for text in (*rule.examples, *rule.stays)
        ],
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


def seen(name: str, corpus: Iterable[dict]) -> Iterator[Seen]:
    """Give the words that are scored in the texts of a corpus, with what is seen of them."""
    for row in corpus:
        text = row["text"].encode("utf-8", "surrogatepass")
        spans = [
            (*(len(row["text"][:at].encode("utf-8", "surrogatepass")) for at in span[:2]), span[2])
            for span in row["spans"]
        ]
        done: set[int] = set()
        for find, candidates in _finders:
            for words, chosen in candidates(text, find(text)):
                for place in chosen:
                    start, end, word = words[place]
                    if start in done or word.startswith(b"<"):
                        continue
                    done.add(start)
                    touched = {entity for a, b, entity in spans if a < end and b > start}
                    if not touched or touched & _LABELS:
                        yield (
                            name,
                            bool(touched),
                            tuple(map(sys.intern, likelihood.seen_of(text, words, place))),
                        )


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
    texts += draw.sample(about, min(2500, len(about))) + draw.sample(so, min(4000, len(so)))
    return [{"text": text, "spans": []} for text in texts if not residue_named(text)]


def _texts(told: object) -> Iterator[str]:
    """Give the beginnings of the texts in an event."""
    if isinstance(told, str):
        yield told[:600]
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
    for name, _, what in given:
        if name != ALONE:
            counts.update(what)
            for one in what:
                among[one].add(name)
    kept = [one for one, n in counts.items() if n >= _LEAST_SEEN and len(among[one]) >= _LEAST_CORPORA]
    places = {one: place for place, one in enumerate(sorted(kept))}
    fitted = LogisticRegression(C=regularity, solver="liblinear", max_iter=300, random_state=0)
    importance = np.array([_WEIGHT_OF_TOLD if name in ("told", "examples") else 1 for name, *_ in given])
    labels = np.array([is_secret for _, is_secret, _ in given])
    fitted.fit(_matrix(given, places), labels, sample_weight=importance)
    found = {one: round(float(fitted.coef_[0][at]), 2) for one, at in places.items()}
    found = {one: weight for one, weight in found.items() if abs(weight) >= _LEAST_WEIGHT}
    return found | {"always": round(found.get("always", 0.0) + float(fitted.intercept_[0]), 2)}


def _use(weights: dict[str, float]) -> None:
    """Have redaction score words by some weights."""
    likelihood.weights = lambda: weights
    likelihood.forget()


def leave_one_out(
    given: dict[str, list[dict]], words: dict[str, list[Seen]], left_out: Iterable[str], regularity: float
) -> None:
    """Print what fits on all corpora but one find in that one."""
    all_of: dict[str, Counter[str]] = {entity: Counter() for entity in sorted(_LABELS)}
    for out in left_out:
        weights = fit([one for name in words if name != out for one in words[name]], regularity)
        _use(weights)
        plain = list(seen(out, given[out]))
        finds = [sum(weights.get(one, 0.0) for one in what) >= shapes.LEAST_LIKELY for *_, what in plain]
        right = sum(is_secret and found for (_, is_secret, _), found in zip(plain, finds, strict=True))
        scores = score(given[out], ours)
        told = []
        for entity, counts in all_of.items():
            of = scores[entity]
            counts.update(spans=of["spans"], found=round(of["recall"] * of["spans"]))
            counts.update(made=of["redactions"], right=round(of["precision"] * of["redactions"]))
            told.append(f"{entity} {of['recall']:.3f} at {of['precision']:.3f} ({of['spans']})")
        print(
            f"{out}: {', '.join(told)}; words {right} of {sum(one[1] for one in plain)} and "
            f"{sum(finds) - right} others",
            flush=True,
        )
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
    given = corpora(arguments.extra)
    words = {
        name: [*seen(name, corpus), *seen(name, _variants(draw, corpus))] for name, corpus in given.items()
    }
    words[ALONE] = list(seen(ALONE, left_alone(draw, arguments.telemetry)))
    if arguments.leave_one_out is not None:
        left_out = arguments.leave_one_out or [name for name in given if name.startswith("blind")]
        for regularity in arguments.regularity:
            leave_one_out(given, words, left_out, regularity)
        return
    weights = fit([one for some in words.values() for one in some], arguments.regularity[0])
    source = f"{len(given)} corpora, {sum(map(len, given.values()))} texts; benchmarks/redaction_fit.py"
    content = {"source": source, "weights": dict(sorted(weights.items()))}
    WEIGHTS.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(f"{len(weights)} weights")


if __name__ == "__main__":
    main()
