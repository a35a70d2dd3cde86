"""Fit the weights of `fl_assets/events/redaction/likelihood.json`, and tell how well such a fit generalises.

Run: `python benchmarks/redaction_fit.py [--leave-one-out] [--extra FILE ...]`. Without `--leave-one-out` the
weights are written. With it, for each corpus a fit on all others tells which of its words are secrets: recall
of their words by the model alone, and how many others it takes for one; the rules are not asked.

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
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from redaction_corpus import rows
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from fl_assets.events.redaction import engine, likelihood, needed, redact, shapes
from fl_assets.events.redaction.linear import finder, searcher
from fl_assets.events.redaction.rules import RULES

HERE = Path(__file__).parent
WEIGHTS = Path(likelihood.__file__).with_suffix(".json")
_ENDS = (3882, 6483, 10986, 14222, 16269, 17006, 19052, 20394, 21123)
"""Where the corpora in `redaction_blind.jsonl` end, the seventh to ninth and those after them two by two."""
TELEMETRY = HERE.parents[1] / "shared/data"
"""Real telemetry, which is read where it is there; nothing of it is kept here."""
_LABELS = {"PASSWORD", "API_KEY"}
_LEAST_SEEN, _LEAST_CORPORA = 4, 3
_REGULARITY = 0.5
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
Seen = tuple[str, int, int, int, bool, frozenset[str]]
"""Corpus, text, begin and end in bytes, whether it is a secret, what is seen."""


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
    for number, row in enumerate(corpus):
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
                        what = frozenset(likelihood.seen_of(text, words, place))
                        yield name, number, start, end, bool(touched), what


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
    return [{"text": text, "spans": []} for text in texts if redact(text) == text]


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


def _look_so(text: bytes) -> Iterator[tuple[list[likelihood.Word], list[int]]]:
    return shapes.look_so(text, _shaped(text))


class Model:
    """A fitted model."""

    def __init__(self, given: list[Seen]) -> None:
        counts: Counter[str] = Counter()
        among: defaultdict[str, set[str]] = defaultdict(set)
        for name, *_, what in given:
            if name != "alone":
                counts.update(what)
                for one in what:
                    among[one].add(name)
        kept = [one for one, n in counts.items() if n >= _LEAST_SEEN and len(among[one]) >= _LEAST_CORPORA]
        self._places = {one: place for place, one in enumerate(sorted(kept))}
        fitted = LogisticRegression(C=_REGULARITY, solver="liblinear", max_iter=300, random_state=0)
        weights = np.array([_WEIGHT_OF_TOLD if name in ("told", "examples") else 1 for name, *_ in given])
        labels = np.array([is_secret for *_, is_secret, _ in given])
        fitted.fit(self._matrix(given), labels, sample_weight=weights)
        self.weights = {one: round(float(fitted.coef_[0][at]), 2) for one, at in self._places.items()}
        self.weights = {one: weight for one, weight in self.weights.items() if abs(weight) >= _LEAST_WEIGHT}
        self.weights["always"] = round(self.weights.get("always", 0.0) + float(fitted.intercept_[0]), 2)

    def _matrix(self, given: list[Seen]) -> csr_matrix:
        places, ends = [], [0]
        for *_, what in given:
            places += [self._places[one] for one in what if one in self._places]
            ends.append(len(places))
        return csr_matrix((np.ones(len(places)), places, ends), shape=(len(given), len(self._places)))

    def finds(self, what: Iterable[str]) -> bool:
        """Tell whether a word of which this is seen would be masked near a sign."""
        return sum(self.weights.get(one, 0.0) for one in what) >= shapes.LEAST_LIKELY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--extra", type=Path, nargs="*", default=[], help="more labelled corpora, JSONL")
    parser.add_argument("--telemetry", type=Path, default=TELEMETRY, help="folders of events.jsonl.gz")
    arguments = parser.parse_args()
    draw = random.Random(7)
    engine.RULES = needed.RULES = tuple(
        rule for rule in RULES if not rule.judge
    )  # not what the last fit found
    given = corpora(arguments.extra)
    plain = {name: list(seen(name, corpus)) for name, corpus in given.items()}
    varied = {name: list(seen(name, _variants(draw, corpus))) for name, corpus in given.items()}
    alone = list(seen("alone", left_alone(draw, arguments.telemetry)))
    for out in given if arguments.leave_one_out else ():
        model = Model([one for name in given if name != out for one in plain[name] + varied[name]] + alone)
        labels = [is_secret for *_, is_secret, _ in plain[out]]
        found = [model.finds(what) for *_, what in plain[out]]
        right = sum(map(min, labels, found))
        print(f"{out}: {right} of {sum(labels)} words of secrets, {sum(found) - right} others")
    if not arguments.leave_one_out:
        model = Model([one for name in given for one in plain[name] + varied[name]] + alone)
        source = f"{len(given)} corpora, {sum(map(len, given.values()))} texts; benchmarks/redaction_fit.py"
        content = {"source": source, "weights": dict(sorted(model.weights.items()))}
        WEIGHTS.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
        print(f"{len(model.weights)} weights")


if __name__ == "__main__":
    main()
