"""Config text, edited key by key with every other byte kept: bytes in, bytes out.

What goes here: TOML, YAML and JSON. What does not: files (`updates/config_files.py`), which key may change to
what (`updates/policy.py`).
"""

import copy
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from tomlkit.exceptions import TOMLKitError

from fl_assets.infra.json_text import strict_json
from fl_assets.infra.rule_files import bounded
from fl_assets.updates.policy import ConfigFormat, ConfigValue

Key = Sequence[str | int]
_BOM = "\ufeff"
_SPACE = re.compile(r"[ \t\r\n]*")


class ConfigFileError(ValueError):
    """A config file cannot be read or edited; the text names file, key and rule. Nothing was changed."""


def parse(kind: ConfigFormat, content: bytes, name: str) -> Any:
    """Return a config's content as plain dicts, lists and scalars.

    Raises:
        ConfigFileError: it is no UTF-8, no such format, or holds a key twice.
    """
    try:
        text = content.decode("utf-8").removeprefix(_BOM)
        if kind == "toml":
            return bounded(tomllib.loads(text))
        if kind == "json":
            return bounded(strict_json(text))
        return bounded(YAML(typ="safe", pure=True).load(text))
    except (ValueError, YAMLError, RecursionError) as error:
        raise ConfigFileError(
            f"{name} cannot be read as {kind}: {' '.join(str(error).split())[:200]}"
        ) from error


def get(document: Any, key: Key, target: str) -> ConfigValue:
    """Return the scalar at a key path.

    Raises:
        ConfigFileError: it is not there, or no scalar.
    """
    node = document
    for part in key:
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list) and str(part).isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise ConfigFileError(f"{target} is not there")
    if not isinstance(node, bool | int | float | str):
        raise ConfigFileError(f"{target} is {type(node).__name__}; must be a number, a text or a switch")
    return node


def replace(kind: ConfigFormat, content: bytes, key: Key, new: ConfigValue, name: str) -> bytes:
    """Return the config with one scalar replaced and every other byte kept.

    Comments, order, blanks and line ends stay.

    Raises:
        ConfigFileError: the value cannot be replaced alone; e.g. a YAML anchor that other keys share.
    """
    target = f"{name}#{'.'.join(str(part) for part in key)}"
    expected = copy.deepcopy(parse(kind, content, name))
    get(expected, key, target)
    text = content.decode("utf-8")
    mark = _BOM if text.startswith(_BOM) else ""
    text = text.removeprefix(_BOM)
    edited = mark + {"toml": _replace_toml, "yaml": _replace_yaml, "json": _replace_json}[kind](
        text, key, new, target
    )
    _set(expected, key, new)
    # The proof, whatever the editor above did: read again it differs in this key alone, and in this line
    # alone. `repr` tells 1, 1.0 and true apart, and order.
    lines, edited_lines = (mark + text).splitlines(keepends=True), edited.splitlines(keepends=True)
    changed = sum(before != after for before, after in zip(lines, edited_lines, strict=False)) + abs(
        len(lines) - len(edited_lines)
    )
    result = edited.encode("utf-8")
    if repr(parse(kind, result, name)) != repr(expected) or changed > 1:
        raise ConfigFileError(f"{target} cannot be changed alone: other keys or lines would change with it")
    return result


def _replace_toml(text: str, key: Key, new: ConfigValue, target: str) -> str:
    try:
        document = tomlkit.parse(text)
        node: Any = document
        for part in key[:-1]:
            node = node[int(part) if isinstance(node, list) else part]
        node[int(key[-1]) if isinstance(node, list) else key[-1]] = new
        return tomlkit.dumps(document)
    except (TOMLKitError, KeyError, TypeError, ValueError) as error:
        raise ConfigFileError(f"{target} cannot be edited: {error}") from error


def _replace_yaml(text: str, key: Key, new: ConfigValue, target: str) -> str:
    node: Node | None = YAML(typ="rt", pure=True).compose(StringIO(text, newline=""))
    for part in key:
        if node is not None and node.anchor:
            break  # what other keys share by an alias cannot change alone
        if isinstance(node, MappingNode):
            node = next((value for name, value in node.value if name.value == str(part)), None)
        elif isinstance(node, SequenceNode):
            node = node.value[int(part)]
    if not isinstance(node, ScalarNode) or node.style not in (None, "", "'", '"') or node.anchor:
        raise ConfigFileError(f"{target} must be a plain or quoted scalar without an anchor")
    return text[: node.start_mark.index] + json.dumps(new, ensure_ascii=False) + text[node.end_mark.index :]


def _replace_json(text: str, key: Key, new: ConfigValue, target: str) -> str:
    decoder = json.JSONDecoder()

    def skip(at: int) -> int:
        space = _SPACE.match(text, at)
        return space.end() if space else at

    at = skip(0)
    for part in key:
        is_object, position = text[at] == "{", 0
        at = skip(at + 1)
        while True:
            name: str | int = position
            if is_object:
                name, at = decoder.raw_decode(text, at)
                at = skip(skip(at) + 1)
            if name == (part if is_object else int(part)):
                break
            at = skip(skip(decoder.raw_decode(text, at)[1]) + 1)
            position += 1
            if at >= len(text):
                raise ConfigFileError(f"{target} is not there")
    return (
        text[:at]
        + json.dumps(new, ensure_ascii=False, allow_nan=False)
        + text[decoder.raw_decode(text, at)[1] :]
    )


def _set(document: Any, key: Key, new: ConfigValue) -> None:
    node = document
    for part in key[:-1]:
        node = node[int(part) if isinstance(node, list) else part]
    node[int(key[-1]) if isinstance(node, list) else key[-1]] = new
