"""Which patterns are one problem: families over patterns, and the class of each pattern.

What goes here: what a person would call one problem, decided from a pattern's rule and the first sentence of
its messages. What does not: patterns and their ids (`grouping.py`), the rules (`failure_classes.yaml`).

A pattern is narrow, so that it can be counted and recounted; a family is what one playbook answers. Families
only join patterns, so a pattern's id, counts and history never depend on them.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from fl_assets.core.models import ErrorClass
from fl_assets.patterns.classes import ClassRule, rule_of
from fl_assets.patterns.grouping import dependencies, essence
from fl_assets.patterns.items import Links
from fl_assets.patterns.mining import mined, same_words
from fl_assets.patterns.words import PLACEHOLDER, STATUS, skeleton, status_of, without_arguments

MAX_READ_MESSAGES = 20
"""Messages of a pattern, those with most failures, that its class is read from."""
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|\s\|\s|;\s|\s-{1,2}\s|:\s*[\[{(]|\n")
_INSIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
_DEEPEST = 8
"""Brackets in brackets that are left out of a first sentence."""
_WORD = re.compile(r"[A-Za-z]{2,}")
_SAYS = (
    r"(?:must|should|may|is|are|was|were|has|have|does|did|not|cannot|can't|expected|unexpected|required|missing"
    r"|unknown|invalid|unrecogni[sz]ed|exceeds?|got|received|failed|already|no)"
)
"""A word of who finds something wrong: what has one is a finding, and no value or list of names."""
_HAS_FINDING = re.compile(rf"\b{_SAYS}\b")
MIN_WORDS = 3
"""Words that must remain without the brackets; some loggers put the whole message into them."""
MIN_SENTENCE = 12
"""Characters of a first sentence that says something; of a shorter one the text after it is read too."""
_QUOTED = re.compile(r"<(?:STR|CODE)>|''|\"\"|``")
_QUOTED_RUN = re.compile(r"<STR>(?:(?:\s*,\s*(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+)<STR>)+")
_TYPE = re.compile(
    r"\b(types?) (?:of )?(?:int|integer|str|string|text|float|double|number|bool|boolean|list|array|dict"
    r"|object|tuple|null|none)\b",
    re.IGNORECASE,
)
_VALUE_PLACES = (
    # An object's name between what it is and what is wrong with it: no small word, or several words
    (
        re.compile(
            r"^((?:[\w ]{1,30}: )?\w+ )(?=(?:[^\s:|]+ ){0,5}[^\s:|]*[^a-z\s:|])[^:|\[\]{}]{1,60}?"
            r"( (?:(?:was|were|is|are|could|has|have|wurde|ist|existiert|n'est|n'a|no|не)\b[^:|\[\]{}]{0,40}"
            r"|not found|does not exist|doesn't exist|already exists|introuvable|nicht gefunden))$"
        ),
        r"\1<STR>\2",
    ),
    (
        re.compile(
            r"^((?:unknown|unsupported|unrecogni[sz]ed|illegal|invalid|duplicate|no such|unexpected) "
            rf"[\w ]{{2,30}}: )(?!.*\b{_SAYS}\b).+$",
            re.IGNORECASE,
        ),
        r"\1<STR>",
    ),
    (
        re.compile(
            r"^((?:there (?:is|are) )?no \w[\w ]{0,40}? (?:available|found|exists?|matching) "
            r"(?:for|in|with|at|named) ).+$",
            re.IGNORECASE,
        ),
        r"\1<STR>",
    ),
    (re.compile(r"^[\w.\[\]]*[A-Za-z]_?[\w.\[\]]*(?= is (?:not defined|undefined)\b)"), "<STR>"),
    # Names in a list that a colon announces
    (
        re.compile(r"(\b(?:(?:values?|names|options|choices)(?: are)?:|one of:?) )[\w./-]+(?:, [\w./-]+)*$"),
        r"\1<STR>",
    ),
    # An argument's or a tool's own name as the subject
    (re.compile(r"^[\w./\[\]-]+(?= must (?:be|have|not|NOT|match|contain|equal)\b)"), "<STR>"),
    (
        re.compile(
            r"^(?=\S*(?:[a-z][A-Z]|[\w\]][_./\[]))[\w./\[\]-]+(?: <[A-Z]+>)?"
            r"(?= (?:is|are|was|must|should|cannot|can't|does|has|takes|requires|expects|not)\b)"
        ),
        "<STR>",
    ),
    (re.compile(r"(\bcalling the )\w+( operation\b)"), r"\1<STR>\2"),
    (
        re.compile(r"^(?:[\w./-]+|<PATH>): (?:line <NUM>: |<NUM>: )?[^\s:]+(: (?:command )?not found)$"),
        r"shell: <STR>\1",
    ),
    (re.compile(r"( must be )(?:string|integer|number|boolean|array|object|null|float|list)$"), r"\1<STR>"),
)
"""Places of a sentence where a value stands although nothing marks it."""
_FINDING = re.compile(r"^(?:.*\b)?validation errors? for [^|]* \| (.+)$", re.IGNORECASE)
"""Of a validator the finding, not the name of what was validated."""
_CHECKED = re.compile(
    r"^(?:[\w ]{1,30}: )?"
    r"(?:(?:invalid|illegal|bad|wrong) |failed to (?:parse|deserialize|decode|validate) )(?:\w+ )?"
    r"(?:arguments?|args|params?|parameters?|inputs?|payload|body)(?: (?:for|of|to|in) [^:|]{1,80})?: (?=.)",
    re.IGNORECASE,
)
"""The same of arguments: which tool they were for is no part of what is wrong with them."""
_CODE = re.compile(r"\[type=([a-z_]+),")
"""What a validator calls its finding."""
_NESTED = re.compile(r"(?:<STR>(?=\w)|(?<![\w>])'(?=[\w.]+[(\[]))[^|]*[)\]}]'(?!\w)")
"""A quoted value with quotes in it, of which masking took a part for a value."""
_WRAPPED = re.compile(
    r"^(?:(?:\w+\.)*_?(?:[A-Z]\w*(?:Error|Exception)|[A-Z][a-z]+[A-Z]\w*): +"
    r"|(?:\w+\.)+[A-Z]\w*: +|<ID>: +|(?:<NUM> )?[A-Z]{3,}(?:_[A-Z]+)+[.:]? +"
    r"|(?:error|ERROR|Error|FATAL|Fatal|fatal)(?: error)?: +"
    r"|(?:MCP |API )?[Ee]rror:? (?:code:? )?\(?<NUM>\)?(?: +-|:)? +)+"
)
"""What stands around what went wrong: types of exceptions and where they are from, `Error code: 400 -`."""
_CALLED = re.compile(r"(^|: )[\w.<>]+(?: [\w.]+)?\(\)")


@dataclass(frozen=True)
class Kind:
    """What a pattern is a case of.

    Its class, the rule that said so, and what the rule says beside the class.
    """

    failure_class: ErrorClass = "other"
    rule_id: str = ""
    is_harmless: bool = False
    is_family: bool = False


NO_KIND = Kind()


def kinds(
    messages: pd.DataFrame, grouped: pd.DataFrame, places: pd.DataFrame, rules: Sequence[ClassRule]
) -> dict[str, Kind]:
    """Return what each pattern is a case of, by the rule that fits most of its failures.

    A template leaves out what varies, such as the text beside an exception's type, so the masked messages are
    read and not the template.

    Args:
        messages: `message_id, masked_error`, one row per message; `failures` weighs them where it is there.
        grouped: `message_id, pattern_id, kind`.
        places: `pattern_id, methods, services` of the patterns to look at.
        rules: In the order they are tried.
    """
    weight = messages["failures"] if "failures" in messages else pd.Series(1, index=messages.index)
    texts = messages[["message_id", "masked_error"]].assign(weight=weight).merge(grouped, on="message_id")
    texts = texts[texts["pattern_id"].isin(places["pattern_id"])]
    texts = texts.sort_values(["pattern_id", "weight", "masked_error"], ascending=[True, False, True])
    texts = texts.groupby("pattern_id", sort=False).head(MAX_READ_MESSAGES)
    where = {row["pattern_id"]: row for row in places.to_dict("records")}
    order = {rule.id: place for place, rule in enumerate(rules)}
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    by_id = {rule.id: rule for rule in rules}
    for row in texts.to_dict("records"):
        place = where[row["pattern_id"]]
        text = without_arguments(row["masked_error"])  # what a call was given is not what went wrong
        rule = rule_of([text], place["methods"], place["services"], row["kind"], rules)
        votes[row["pattern_id"]][rule.id if rule else ""] += row["weight"]
    found = {}
    for pattern_id, counted in votes.items():
        best = min(counted, key=lambda name: (-counted[name], order.get(name, len(order))))
        rule = by_id.get(best)
        found[pattern_id] = (
            Kind(rule.failure_class, rule.id, rule.is_harmless, rule.is_family) if rule else NO_KIND
        )
    return found


def families(messages: pd.DataFrame, grouped: pd.DataFrame, kind_of: Mapping[str, Kind]) -> dict[str, str]:
    """Return the family of each pattern.

    Patterns are one family when one rule of the classes calls them so, for one service; or when they are of
    one class, status and code of a validator, and the first sentences of messages of theirs are the same once
    what is quoted, bracketed or varies is left out.

    Args:
        messages: `message_id, masked_error, has_text, service, first_day`.
        grouped: `message_id, pattern_id`.
        kind_of: What each pattern is a case of; a pattern without an entry is of no kind.

    Returns:
        Pattern id to family id. The id is made from the family's oldest pattern, so patterns that come later
        change it only by joining two families, and then the older one's stays.
    """
    rows = messages.merge(grouped[["message_id", "pattern_id"]], on="message_id")
    rows = rows.sort_values(["first_day", "masked_error", "message_id"], kind="stable")
    if rows.empty:
        return {}
    patterns = {name: place for place, name in enumerate(dict.fromkeys(rows["pattern_id"]))}
    links = Links()
    for _ in patterns:
        links.add()
    first: dict[tuple, int] = {}
    service = rows.groupby("pattern_id", sort=False)["service"].min()
    sentences = [first_sentence(text) for text in rows["masked_error"]]
    shapes = [skeleton(sentence) for sentence in sentences]
    said = same_words(mined(shapes), shapes)
    for text, has_text, name, group, shape in zip(
        rows["masked_error"], rows["has_text"], rows["pattern_id"], said, shapes, strict=True
    ):
        kind = kind_of.get(name, NO_KIND)
        if kind.is_family:
            key: tuple = (kind.rule_id, service[name])
        elif has_text and any(word not in "*?" for word in shape):
            code = _CODE.findall(text)[:1]
            key = (kind.failure_class, status_of(text), group, *code, dependencies(skeleton(text)))
        else:
            key = (name,)
        links.join(first.setdefault(key, patterns[name]), patterns[name])
    names = list(patterns)
    return {name: family_id_of(names[links.root(place)]) for name, place in patterns.items()}


def first_sentence(text: str) -> str:
    """Return the first sentence of a masked message, without what stands in brackets.

    However it is quoted, a value is a value, and several of them in a row are one; which function was called
    and which type was expected vary, too.
    """
    text = _NESTED.sub("<STR>", _QUOTED.sub("<STR>", STATUS.sub("", essence(text))))
    if finding := _FINDING.match(text):
        text = finding.group(1)
    if (checked := _CHECKED.match(text)) and _HAS_FINDING.search(text, checked.end()):
        text = text[checked.end() :]
    wrapped = _WRAPPED.match(text)
    inner = text[wrapped.end() :] if wrapped and wrapped.group().strip(" :").lower() != "error" else ""
    if len(_WORD.findall(_INSIDE.sub(" ", PLACEHOLDER.sub(" ", inner)))) >= MIN_WORDS:
        text = inner
    text = _CALLED.sub(r"\1<STR>()", _QUOTED_RUN.sub("<STR>", _TYPE.sub(r"\1 <STR>", text)))
    sentence = _cut(text)
    for place, value in _VALUE_PLACES:
        sentence = place.sub(value, sentence)
    return sentence


def _cut(text: str) -> str:
    bare = text
    for _ in range(_DEEPEST):
        shorter = _INSIDE.sub(_without_values, bare)
        if shorter == bare:
            break
        bare = shorter
    if len(_WORD.findall(bare)) < MIN_WORDS:
        bare = text
    for end in _SENTENCE_END.finditer(bare):
        if end.start() >= MIN_SENTENCE:
            return bare[: end.start()]
    return bare if len(bare.strip()) >= MIN_SENTENCE else text


def _without_values(brackets: re.Match[str]) -> str:
    """Return what stands in brackets where it says what is wrong, else nothing."""
    inside = brackets.group()[1:-1]
    is_finding = len(_WORD.findall(PLACEHOLDER.sub(" ", inside))) >= MIN_WORDS and _HAS_FINDING.search(inside)
    return f" {inside} " if is_finding else " "


def family_id_of(pattern_id: str) -> str:
    """Return the id of the family whose oldest pattern this is."""
    return "f-" + hashlib.md5(pattern_id.encode(), usedforsecurity=False).hexdigest()[:12]
