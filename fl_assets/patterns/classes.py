"""What kind of failure a pattern is: ordered rules over its template's words, its methods and services.

What goes here: what a rule may say, and how the first one that fits is found. What does not: the rules (`failure_classes.yaml`), reading that file
(`infra/rule_files.py`), or the classes' names (`models.py`).

No model guesses here: the same template gets the same class, and `other` where no rule fits.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from fl_assets.core.models import ErrorClass, PatternKind, Record

MAX_TEXT = 2000
"""Characters of a template that are read."""
_CAMEL = re.compile(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])")
_SPACES = re.compile(r"[\s_-]+")
_STATUS = " status="
_PHRASE = r"^[^\s].*[^\s]$|^[^\s]$"

Phrase = Annotated[str, StringConstraints(pattern=_PHRASE, max_length=120, to_lower=True)]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class FailureClassError(ValueError):
    """A rule cannot be used; the text names the rule and what is wrong with it."""


class Rule(Record):
    """One rule: the class of every pattern that keeps all its conditions.

    Phrases are looked for in the template's words: in lower case, at word boundaries, with `CamelCase` and `snake_case` taken apart (`RateLimitError` reads
    `rate limit error`). In a phrase, `*` stands for the rest of a word and ` ... ` for up to sixty characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(min_length=1, max_length=80)
    failure_class: ErrorClass = Field(alias="class")
    any_of: tuple[Phrase, ...] = Field((), description="Phrases of which one must occur.")
    all_of: tuple[Phrase, ...] = Field((), description="Phrases that must all occur.")
    none_of: tuple[Phrase, ...] = Field((), description="Phrases of which none may occur.")
    method: tuple[Glob, ...] = Field(
        (), description="Globs, in any case, of which one must fit one of the pattern's methods."
    )
    service: tuple[Glob, ...] = Field(
        (), description="Globs, in any case, of which one must fit one of the pattern's services."
    )
    kind: tuple[PatternKind, ...] = Field((), description="Kinds of pattern it is for; empty for any.")

    _any: re.Pattern[str] | None = PrivateAttr(None)
    _all: tuple[re.Pattern[str], ...] = PrivateAttr(())
    _none: re.Pattern[str] | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not (self.any_of or self.all_of or self.method or self.service or self.kind):
            message = "needs a condition: any_of, all_of, method, service or kind"
            raise ValueError(message)
        return self

    def model_post_init(self, _context: Any) -> None:
        """Compile the phrases once."""
        self._any = _compiled(self.any_of) if self.any_of else None
        self._all = tuple(_compiled((phrase,)) for phrase in self.all_of)
        self._none = _compiled(self.none_of) if self.none_of else None

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


def classify(
    template: str, methods: Sequence[str], services: Sequence[str], kind: str, rules: Sequence[Rule]
) -> ErrorClass:
    """Return the class of the first rule that fits, or `other`.

    Of a pattern without error text only its status is read: the names of service and method, which stand beside it, are not the failure's words.
    """
    if kind == "silent":
        start = template.rfind(_STATUS)
        template = template[start:] if start >= 0 else ""
    words = readable(template)
    return next((rule.failure_class for rule in rules if rule.fits(words, methods, services, kind)), "other")


def readable(template: str) -> str:
    """Return a template as the words that phrases are compared with."""
    text = template[:MAX_TEXT].replace("’", "'")
    return _SPACES.sub(" ", _CAMEL.sub(r"\1\3 \2\4", text)).lower()


def parse_rules(data: Any) -> list[Rule]:
    """Return the rules of a loaded document, `{failure_classes: [...]}`.

    Raises:
        FailureClassError: naming each bad rule and what is wrong with it, one mistake a line.
    """
    if (
        not isinstance(data, Mapping)
        or set(data) != {"failure_classes"}
        or not isinstance(data["failure_classes"], Sequence)
    ):
        message = "failure classes: must be a mapping with the one key failure_classes, a list of rules"
        raise FailureClassError(message)
    rules, mistakes, seen = [], [], set()
    for position, entry in enumerate(data["failure_classes"], start=1):
        name = str(entry["id"]) if isinstance(entry, Mapping) and "id" in entry else f"rule {position}"
        if name in seen:
            mistakes.append(f"{name}: id is taken by an earlier rule; must be unique")
        seen.add(name)
        try:
            rules.append(Rule.model_validate(entry))
        except ValidationError as error:
            mistakes += [
                f"{name}: {'.'.join(str(part) for part in problem['loc']) or 'rule'}: {problem['msg']}"
                for problem in error.errors()
            ]
    if mistakes:
        raise FailureClassError("\n".join(mistakes))
    return rules


def _compiled(phrases: Sequence[str]) -> re.Pattern[str]:
    """Compile phrases into one expression without unbounded repeats, so that no text can make it slow."""
    parts = []
    for phrase in phrases:
        gaps = [_SPACES.sub(" ", gap).strip() for gap in phrase.split("...")]
        parts.append(
            r".{0,60}".join(
                re.escape(gap).replace(r"\ ", " ").replace(r"\*", "[a-z0-9]{0,30}") for gap in gaps
            )
        )
    return re.compile(r"(?:^|[^a-z0-9])(?:" + "|".join(parts) + r")(?:$|[^a-z0-9])", re.DOTALL)


def _fits_glob(globs: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), glob.lower()) for glob in globs for name in names)
