"""What kind of failure a pattern is: ordered rules over its template's words, its methods and services.

What goes here: what a rule may say, and how the first one that fits is found. What does not: the rules
(`failure_classes.yaml`), or the classes' names (`models.py`).

No model guesses here: the same template gets the same class, and `other` where no rule fits.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints, model_validator

from fl_assets.core.data import read_data
from fl_assets.core.models import ErrorClass, PatternKind, Record

MAX_TEXT = 2000
"""Characters of a template that are read."""
_CAMEL = re.compile(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])")
_SPACES = re.compile(r"[\s_-]+")
_CANNOT = re.compile(r"\b(?:could ?n[o']t|can ?n?[o']t|(?:unable|not able|failed) to)\b")
_NOT = re.compile(
    r"\b(?:(is|are|was|were|has|have|had|would|should|must)|do|does|did)n't\b|\b(?:do|did) not\b"
)
"""`couldn't`, `unable to` and `failed to` are read as `cannot`, `didn't` as `does not`."""
_FAILED_TO = " (?:failed )?cannot"
"""`failed to` ends one phrase and begins another: `login failed to end` reads `login failed cannot end`."""
_STATUS = " status="
_COMMAND = " command="
_NO_SPACES = re.compile(r"[\u2e80-\ua4cf\uac00-\ud7af]")
"""A letter of a language that puts no space between words: there a phrase begins anywhere."""
_PHRASE = r"^[^\s].*[^\s]$|^[^\s]$"

Phrase = Annotated[str, StringConstraints(pattern=_PHRASE, max_length=120, to_lower=True)]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class ClassRule(Record):
    """One rule: the class of every pattern that keeps all its conditions.

    Phrases are looked for in the template's words: in lower case, at word boundaries, with `CamelCase` and
    `snake_case` taken apart (`RateLimitError` reads `rate limit error`). In a phrase, `*` stands for the rest
    of a word and ` ... ` for up to sixty characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(min_length=1, max_length=80)
    failure_class: ErrorClass = Field(alias="class")
    any_of: tuple[Phrase, ...] = ()
    """Phrases of which one must occur."""
    all_of: tuple[Phrase, ...] = ()
    """Phrases that must all occur."""
    none_of: tuple[Phrase, ...] = ()
    """Phrases of which none may occur."""
    method: tuple[Glob, ...] = ()
    """Globs, in any case, of which one must fit one of the pattern's methods."""
    service: tuple[Glob, ...] = ()
    """Globs, in any case, of which one must fit one of the pattern's services."""
    kind: tuple[PatternKind, ...] = ()
    """Kinds of pattern it is for; empty for any."""
    is_harmless: bool = Field(False, alias="harmless")
    """A result rather than a failure: it asks for nothing to be done."""
    is_family: bool = Field(False, alias="family")
    """What a person calls one problem, whatever the wording or the tool."""
    is_own_work: bool = Field(False, alias="own_work")
    """About what the agent wrote: what it calls next is work on the cause, and no other way."""

    _any: re.Pattern[str] | None = PrivateAttr(None)
    _all: tuple[re.Pattern[str], ...] = PrivateAttr(())
    _none: re.Pattern[str] | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _says_something(self) -> "ClassRule":
        if not (self.any_of or self.all_of or self.method or self.service or self.kind):
            raise ValueError("needs a condition: any_of, all_of, method, service or kind")
        return self

    def model_post_init(self, _context: Any) -> None:
        """Compile the phrases once."""
        self._any = compiled(self.any_of) if self.any_of else None
        self._all = tuple(compiled((phrase,)) for phrase in self.all_of)
        self._none = compiled(self.none_of) if self.none_of else None

    def fits(self, words: str, methods: Sequence[str], services: Sequence[str], kind: str) -> bool:
        """Say whether a pattern keeps all conditions; `words` as `readable` gives them."""
        return (
            (not self.kind or kind in self.kind)
            and (self._any is None or self._any.search(words) is not None)
            and all(phrase.search(words) for phrase in self._all)
            and (self._none is None or self._none.search(words) is None)
            and (not self.method or _fits_glob(self.method, methods))
            and (not self.service or _fits_glob(self.service, services))
        )


@cache
def load_failure_classes() -> tuple[ClassRule, ...]:
    """Return the rules of `failure_classes.yaml`, in the order they are tried."""
    path = Path(__file__).with_name("failure_classes.yaml")
    return tuple(map(ClassRule.model_validate, read_data(path)["failure_classes"]))


@cache
def own_work() -> frozenset[str]:
    """Return the ids of the rules about what the agent wrote itself."""
    return frozenset(rule.id for rule in load_failure_classes() if rule.is_own_work)


def rule_of(
    texts: Sequence[str],
    methods: Sequence[str],
    services: Sequence[str],
    kind: str,
    rules: Sequence[ClassRule],
) -> ClassRule | None:
    """Return the first rule that fits a pattern, or `None`.

    Of a pattern without error text only its status and the command that it ran are read: the names of service
    and method, which stand before them, are not the failure's words. `texts` are the pattern's template, and
    masked messages of it where the template leaves out what varies.
    """
    if kind == "silent":
        texts = [_told(text) for text in texts]
    words = readable("\n".join(text[:MAX_TEXT] for text in texts))
    return next((rule for rule in rules if rule.fits(words, methods, services, kind)), None)


def _told(stand_in: str) -> str:
    """Return what the stand-in of a failure without a text says of it."""
    place = stand_in.rfind(_STATUS if _STATUS in stand_in else _COMMAND)
    return stand_in[place:] if place >= 0 else ""


def readable(template: str) -> str:
    """Return a template as the words that phrases are compared with."""
    text = template[: 2 * MAX_TEXT].replace("’", "'")
    words = _SPACES.sub(" ", _CAMEL.sub(r"\1\3 \2\4", text)).lower()
    return _plain(words.replace(" failed to ", " failed failed to "))


def _plain(words: str) -> str:
    """Return words in small letters with one wording for each of `_CANNOT` and `_NOT`."""
    return _NOT.sub(lambda match: f"{match.group(1) or 'does'} not", _CANNOT.sub("cannot", words))


@lru_cache(maxsize=1024)
def compiled(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Compile phrases into one expression without unbounded repeats, so that no text can make it slow."""
    bounded, free = [], []
    for phrase in phrases:
        gaps = [_plain(_SPACES.sub(" ", gap)).strip() for gap in phrase.split("...")]
        part = r".{0,60}".join(
            re.escape(gap).replace(r"\ ", " ").replace(r"\*", "[a-z0-9]{0,30}").replace(" cannot", _FAILED_TO)
            for gap in gaps
        )
        (free if _NO_SPACES.match(phrase) else bounded).append(part)
    sides = [r"(?:^|[^a-z0-9])(?:" + "|".join(bounded) + r")(?:$|[^a-z0-9])"] if bounded else []
    return re.compile("|".join([*sides, *free]), re.DOTALL)


def _fits_glob(globs: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), glob.lower()) for glob in globs for name in names)
