"""Recall and precision of redaction: ours, the original's four patterns, presidio without a model.

Run: `python benchmarks/redaction.py [--corpus FILE]`. A corpus is JSONL, one `{"text", "spans": [[start, end,
entity]]}` a line. Without `--corpus` our own are scored: what the rules were tuned on
(`redaction_corpus.py`), what was held out by the same author (`redaction_corpus.jsonl`), and what six
authors wrote before they saw the rules (`redaction_blind.jsonl`); beside them public sets, where they lie in
`../shared/data/pii_public` or in the folder that `--corpus` names. The last line is of the last one.
docs/privacy.md says what each gave at first sight, before the rules were mended by it.

How a span is scored. Entities fall into groups, since corpora name them differently (`GROUPS`; a name that is
in none is a secret). A labelled span is found when redactions of its group cover more than half of its
letters and digits: whether a port, a prefix or a country code belongs to the value is a matter of labelling.
Secrets and home folders, whose labels often take in the key or the path, are found when a redaction of their
group touches them. `whole` is the share of which no letter or digit is left. Recall is counted by labelled
entity, precision by redacted entity: the share of redactions that touch a labelled span of their group.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from fl_assets.events.redaction import ENTITIES, redact

if __name__ == "__main__":  # the corpus lies beside this file, whatever the working directory is
    sys.path.insert(0, str(Path(__file__).parent))
from redaction_corpus import rows

HELD_OUT, BLIND = (Path(__file__).parent / f"redaction_{name}.jsonl" for name in ("corpus", "blind"))
PUBLIC = Path(__file__).parents[2] / "shared/data/pii_public"
"""Public sets that are read where they are there; nothing of them is kept here."""
Span = tuple[int, int, str]
GROUPS = {
    "EMAIL": "EMAIL",
    "MAIL": "EMAIL",
    "PHONE": "PHONE",
    "TEL": "PHONE",
    "FAX": "PHONE",
    "CARD": "CARD",
    "PAN": "CARD",
    "SSN": "SSN",
    "SOCIAL_SECURITY": "SSN",
    "IBAN": "IBAN",
    "MAC": "MAC",
    "IP": "IP",
    "HOME": "HOME",
    "USER_PATH": "HOME",
    "USERNAME": "HOME",
    "USER_NAME": "HOME",
}
"""Group by a part of the entity's name, first match wins; all else is a SECRET."""
_ALIASES = (
    ("PRIVATE_KEY", "PEM"),
    ("PEM", "PEM"),
    ("CERT", "PEM"),
    ("JWT", "JWT"),
    ("BEARER", "BEARER_TOKEN"),
    ("BASIC", "BASIC_AUTH"),
    ("URL", "URL_CREDENTIALS"),
    ("PASSW", "PASSWORD"),
    ("PWD", "PASSWORD"),
)
ORIGINAL = (
    ("EMAIL", re.compile(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b")),
    ("PHONE", re.compile(r"\b\d{3}[-.]?\d{3}[-.]?\d{4}\b")),
    ("SSN", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")),
    ("CARD", re.compile(r"\b\d{4}[- ]?\d{4}[- ]?\d{4}[- ]?\d{4}\b")),
)
"""The four patterns that the original masked with."""
PRESIDIO = (
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "US_SSN",
    "IBAN_CODE",
    "IP_ADDRESS",
    "MAC_ADDRESS",
)
"""Presidio's entities that need no model; URL is left out, since it asks the network for a list of
suffixes."""


def group(entity: str) -> str:
    """Return the group of an entity, by whatever name."""
    parts = entity.upper().replace("-", "_").replace(" ", "_")
    tokens = parts.split("_")
    if re.search("KEY|TOKEN|SECRET|PASS|AUTH|JWT|PEM|CREDENTIAL|CREDS|URL", parts):
        return "SECRET"
    for part, name in GROUPS.items():
        if part in parts if len(part) > 3 else any(token.startswith(part) for token in tokens):
            return name
    return "SECRET"


def canonical(entity: str, value: str) -> str:
    """Return our name for a labelled entity."""
    name = group(entity)
    if entity.upper() in ENTITIES:
        return entity.upper()
    if name == "IP":
        return "IPV6" if ":" in value else "IPV4"
    if name == "HOME":
        return "HOME_USER"
    if name == "SECRET":
        return next((ours for part, ours in _ALIASES if part in entity.upper()), "API_KEY")
    return name


def spans_of(text: str, redacted: str) -> list[Span]:
    """Return which parts of `text` became which placeholder: the shortest alignment of what was left."""
    pieces = re.split(f"<({'|'.join(ENTITIES)})>", redacted)
    if len(pieces) == 1:
        return []
    pattern = "".join(
        re.escape(piece) if i % 2 == 0 else f"(<{piece}>|.+?)" for i, piece in enumerate(pieces)
    )
    match = re.fullmatch(pattern, text, re.DOTALL)
    if match is None:
        raise ValueError(f"{redacted!r} is not {text!r} with parts masked")
    # A placeholder that the text itself holds is no redaction.
    return [
        (*match.span(i + 1), entity) for i, entity in enumerate(pieces[1::2]) if match[i + 1] != f"<{entity}>"
    ]


def ours(text: str) -> list[Span]:
    """Return what we mask."""
    return spans_of(text, redact(text))


def original(text: str) -> list[Span]:
    """Return what the original's patterns mask, in their order, none twice."""
    taken: list[Span] = []
    for entity, pattern in ORIGINAL:
        taken += [
            (*m.span(), entity)
            for m in pattern.finditer(text)
            if all(m.end() <= start or m.start() >= end for start, end, _ in taken)
        ]
    return taken


def presidio() -> Callable[[str], list[Span]] | None:
    """Return presidio without a model, or None where it is not installed."""
    try:
        import logging

        import tldextract
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine
    except ImportError:
        return None
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(
        suffix_list_urls=()
    )  # the list that comes with it: presidio would ask the network
    engine = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    engine.load()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    analyzer = AnalyzerEngine(nlp_engine=engine, registry=registry, supported_languages=["en"])
    entities = [entity for entity in PRESIDIO if entity in analyzer.get_supported_entities("en")]

    def find(text: str) -> list[Span]:
        found = sorted(
            analyzer.analyze(text, "en", entities=entities), key=lambda r: (-r.score, r.start - r.end)
        )
        taken: list[Span] = []
        for r in found:
            if all(r.end <= start or r.start >= end for start, end, _ in taken):
                taken.append((r.start, r.end, canonical(r.entity_type, text[r.start : r.end])))
        return taken

    return find


def _left(text: str, span: Span, redactions: list[Span]) -> tuple[int, int]:
    """Return how many letters and digits a span has, and how many of them no redaction covers."""
    places = [i for i in range(span[0], span[1]) if text[i].isalnum()]
    return len(places), sum(not any(start <= i < end for start, end, _ in redactions) for i in places)


def score(
    corpus: Iterable[dict], find: Callable[[str], list[Span]], misses: list[str] | None = None
) -> dict[str, object]:
    """Return recall, precision and counts by entity, with their minima; `misses` takes a line for each
    error.
    """
    labelled, found, whole, made, right = (defaultdict(int) for _ in range(5))
    for row in corpus:
        text, spans = row["text"], [(start, end, entity) for start, end, entity in row["spans"]]
        redactions = find(text)
        for span in spans:
            name, own = (
                canonical(span[2], text[span[0] : span[1]]),
                [r for r in redactions if group(r[2]) == group(span[2])],
            )
            total, left = _left(text, span, own)
            touched = any(start < span[1] and end > span[0] for start, end, _ in own)
            is_found = touched and (left * 2 < total or group(name) in ("SECRET", "HOME"))
            labelled[name] += 1
            found[name] += is_found
            whole[name] += _left(text, span, redactions)[1] == 0
            if misses is not None and not is_found:
                misses.append(f"missed {name}: {text!r}")
        for redaction in redactions:
            is_right = any(
                redaction[0] < end and redaction[1] > start and group(entity) == group(redaction[2])
                for start, end, entity in spans
            )
            made[redaction[2]] += 1
            right[redaction[2]] += is_right
            if misses is not None and not is_right:
                misses.append(f"false {redaction[2]}: {text!r}")
    result: dict[str, object] = {}
    for entity in [e for e in ENTITIES if labelled[e] or made[e]]:
        result[entity] = {
            "recall": round(found[entity] / labelled[entity], 4) if labelled[entity] else None,
            "precision": round(right[entity] / made[entity], 4) if made[entity] else None,
            "whole": round(whole[entity] / labelled[entity], 4) if labelled[entity] else None,
            "spans": labelled[entity],
            "redactions": made[entity],
        }
    recalls = [r["recall"] for r in result.values() if r["recall"] is not None]
    # An entity that a tool never masks has no precision: its recall of 0 says so.
    precisions = [r["precision"] for r in result.values() if r["precision"] is not None]
    return {
        **result,
        "min_recall": min(recalls, default=None),
        "min_precision": min(precisions, default=None),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--corpus", type=Path, help="JSONL of your own, or a folder of such files, shown beside ours"
    )
    parser.add_argument(
        "--misses", action="store_true", help="print every span that we miss and every false redaction"
    )
    arguments = parser.parse_args()

    def read(path: Path) -> list[dict]:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    corpora = {"tuned": list(rows()), "held out": read(HELD_OUT), "blind": read(BLIND)}
    if arguments.corpus and arguments.corpus.is_file():
        corpora = {str(arguments.corpus): read(arguments.corpus)}
    else:
        folder = arguments.corpus or PUBLIC
        corpora |= {path.name: read(path) for path in sorted(folder.glob("*.jsonl"))}
    finders = {"ours": ours, "original": original, "presidio": presidio()}
    for name, corpus in corpora.items():
        errors: list[str] = []
        summary = {
            tool: score(corpus, find, errors if tool == "ours" else None) if find else None
            for tool, find in finders.items()
        }
        print(
            f"\n{name}: {len(corpus)} texts, {sum(len(row['spans']) for row in corpus)} spans, "
            f"{sum(not row['spans'] for row in corpus)} texts without any"
        )
        if finders["presidio"] is None:
            print("presidio is not installed (benchmarks/requirements.lock has it): skipped")
        print(
            f"{'':16} {'spans':>5} | "
            + " | ".join(
                f"{tool + ' recall':>15} {'precision':>9} {'whole':>6}" for tool in finders if finders[tool]
            )
        )
        for entity in [e for e in ENTITIES if any(s and e in s for s in summary.values())]:
            cells = [s.get(entity, {}) for s in summary.values() if s]
            spans = max(c.get("spans", 0) for c in cells)
            text = (
                tuple("-" if c.get(k) is None else f"{c[k]:.3f}" for k in ("recall", "precision", "whole"))
                for c in cells
            )
            print(f"{entity:16} {spans:>5} | " + " | ".join(f"{r:>15} {p:>9} {w:>6}" for r, p, w in text))
        if arguments.misses:
            print("\n".join(errors))
    print(json.dumps({tool: strip(s) if s else s for tool, s in summary.items()}))


def strip(scores: dict) -> dict:
    """Keep what the last line promises."""
    return {
        k: {"recall": v["recall"], "precision": v["precision"]} if isinstance(v, dict) else v
        for k, v in scores.items()
    }


if __name__ == "__main__":
    main()
