"""Reading YAML files of rules; errors name file, line and rule."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 200_000
"""Values of a file, aliases written out: nine lines of aliases to aliases can stand for a billion."""
MAX_BITS = 1_024
"""Of a whole number."""

Rule = TypeVar("Rule", bound=BaseModel)


class RuleFileError(ValueError):
    """A rule file cannot be used; the text has one line per mistake, with file, line and rule."""


def read_rules(
    path: Path, model: type[Rule], *, section: str, key: str = "id", show: bool = True
) -> tuple[Rule, ...]:
    """Read the list of rules under `section`, each validated by `model`.

    Args:
        path: The YAML file.
        model: Record of one rule.
        section: The only key at the top of the file.
        key: Field that names a rule in errors and must be unique in the file.
        show: Whether errors quote values other than the key's; False where one may be a secret.

    Raises:
        RuleFileError: naming all mistakes of the file.
    """
    document = _read_yaml(path)
    unknown = sorted(str(name) for name in document if name != section)
    if unknown:
        raise RuleFileError(
            f"{path}:{_line_of(document, (unknown[0],))}: unknown key {unknown[0]!r}; must be {section!r}"
        )
    entries = document.get(section)
    entries = CommentedSeq() if entries is None else entries
    if not isinstance(entries, CommentedSeq):
        raise RuleFileError(
            f"{path}:{_line_of(document, (section,))}: {section} is {type(entries).__name__}; must "
            "be a list of rules"
        )
    rules: list[Rule] = []
    mistakes: list[str] = []
    seen: dict[str, int] = {}
    for position, entry in enumerate(entries):
        line = entries.lc.item(position)[0] + 1
        name = (
            str(entry[key])
            if isinstance(entry, Mapping) and key in entry
            else f"rule {position + 1} of {section}"
        )
        if name in seen:
            mistakes.append(
                f"{path}:{line}: {name}: {key} is taken by the rule in line {seen[name]}; must be unique"
            )
        seen.setdefault(name, line)
        try:
            rules.append(model.model_validate(_plain(entry)))
        except ValidationError as error:
            mistakes += [
                f"{path}:{at}: {name}: {problem}" for at, problem in explain(error, entry, line, show)
            ]
    if mistakes:
        raise RuleFileError("\n".join(mistakes))
    return tuple(rules)


def read_record(path: Path, model: type[Rule]) -> Rule:
    """Read a YAML file that is one record.

    Raises:
        RuleFileError: naming file, line and rule.
    """
    document = _read_yaml(path)
    try:
        return model.model_validate(_plain(document))
    except ValidationError as error:
        raise RuleFileError(
            "\n".join(f"{path}:{at}: {problem}" for at, problem in explain(error, document, 1))
        ) from error


@lru_cache(maxsize=16)
def _parsed(content: bytes) -> Any:
    """Parse YAML; cached, since each step of a cycle reads the same few files and parsing takes 0.1 s."""
    return bounded(YAML(typ="rt", pure=True).load(content))


def _read_yaml(path: Path) -> CommentedMap:
    """Read a YAML file whose top is a mapping; do not change it, since it is cached.

    Nodes keep their line numbers, and no tag builds an object.

    Raises:
        RuleFileError: it is missing, too large, no YAML, repeats a key, or its top is no mapping.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise RuleFileError(f"{path}: has {size} bytes; must have {MAX_BYTES} at the most")
        document = _parsed(path.read_bytes())
    except OSError as error:
        raise RuleFileError(f"{path}: cannot be read: {error.strerror}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RuleFileError(
            f"{path}:{mark.line + 1 if mark else 1}: {' '.join(str(error.problem or error.context).split())}"
        ) from error
    except (YAMLError, ValueError, RecursionError) as error:  # a number too long, a day that is none
        raise RuleFileError(
            f"{path}:1: is no YAML that can be read: {' '.join(str(error).split())[:200]}"
        ) from error
    if document is None:
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        raise RuleFileError(f"{path}:1: expected a YAML mapping, got {type(document).__name__}")
    return document


def bounded(document: Any) -> Any:
    """Return a YAML document that stays small with its aliases written out, as reading or showing it does.

    Raises:
        ValueError: it has more values than `MAX_VALUES`, holds itself, or a number that cannot be shown.
    """
    count, end, left = 0, object(), [iter((document,))]
    while left:
        node = next(left[-1], end)
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values, aliases written out")
        if node is end:
            left.pop()
        elif isinstance(node, Mapping):
            left.append(iter(node.values()))
        elif isinstance(node, list | tuple):
            left.append(iter(node))
        elif isinstance(node, int) and node.bit_length() > MAX_BITS:
            raise ValueError(f"a number has {node.bit_length()} bits, more than {MAX_BITS}")
    return document


def explain(error: ValidationError, node: Any, line: int, show: bool = True) -> Iterator[tuple[int, str]]:
    """Yield line and text of each problem of a record read from `node`, which begins in `line`.

    With `show`, the text quotes the value.
    """
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"])
        rule = problem["msg"].removeprefix("Value error, ")
        rule = "unknown field" if problem["type"] == "extra_forbidden" else rule
        given = problem["input"]
        shown = (
            ""
            if isinstance(given, Mapping | list | tuple) or given is None or not show
            else f" = {str(given)[:100]!r}"
        )
        yield _line_of(node, problem["loc"], line), f"{where}{shown}: {rule}" if where else rule


def _line_of(node: Any, path: tuple[Any, ...], line: int = 1) -> int:
    """Return the line of the deepest part of `path` that is in the file."""
    for part in path:
        try:
            if isinstance(node, CommentedMap):
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq):
                line = node.lc.item(part)[0] + 1
            else:
                break
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _plain(node: Any) -> Any:
    """Return plain dicts, lists and scalars; ruamel's subclasses of scalars become their base types."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq | list):
        return [_plain(value) for value in node]
    for base in (bool, int, float, str):
        if isinstance(node, base):
            return base(node)
    return node
