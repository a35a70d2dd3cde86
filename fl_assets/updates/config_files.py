"""Config files: read, changed key by key with every other byte kept, several together or not at all, and taken back exactly.

What goes here: TOML, YAML and JSON editing, backups, the journal that makes several renames one change, and recovery.
What does not: which key may change to what (`updates/decide.py`).

One change, in order: test the old values; write what is planned (`preparing.json`); write backups, and the new files beside the old ones; rename the plan to
`journal.json`; rename each new file into place; read back; rename the journal to a receipt. That last rename is the commit: every failure and
every crash before it ends in the old bytes of all files, after it in the new ones. (Undo logging: Gray and Reuter, "Transaction Processing", 1992, ch. 9.)
When not even the old bytes can be restored, it stops: the journal stays, nothing else is changed, and `NeedsHumanError` says what to look at.
"""

import copy
import hashlib
import json
import re
import stat
import tomllib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import tomlkit
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from tomlkit.exceptions import TOMLKitError

from fl_assets.core.models import Record
from fl_assets.infra.disk import Disk, locked
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.infra.json_text import strict_json
from fl_assets.updates.decide import ConfigChange, ConfigFormat, ConfigValue, RefusedChangeError, UpdatePolicy

Key = Sequence[str | int]
_BOM = "\ufeff"
_ID = re.compile(r"[0-9a-f]{8,64}")
_SPACE = re.compile(r"[ \t\r\n]*")
_MAX_BYTES = 4 * 1024 * 1024


class ConfigFileError(ValueError):
    """A config file cannot be read or edited; the text names file, key and rule. Nothing was changed."""


class FileChange(Record):
    """One file of a change: what it held, what it holds, and where the bytes to go back to are."""

    path: str
    old_hash: str
    new_hash: str
    backup: str


class KeyChange(Record):
    """One key of a change."""

    target: str
    old: ConfigValue
    new: ConfigValue


class Receipt(Record):
    """What was changed, kept as a file; while the change is under way it is the journal."""

    decision_id: str
    kind: Literal["apply", "revert"]
    day: date
    keys: tuple[KeyChange, ...]
    files: tuple[FileChange, ...]


class ConfigFiles:
    """The config files below one folder, and the record of what was changed in them."""

    def __init__(self, root: Path, state: Path, *, disk: Disk | None = None) -> None:
        """Use the files below `root`; keep journal, backups and receipts below `state`."""
        self._root = root.resolve()
        self._state = state
        self._disk = disk or Disk()
        self._preparing = state / "preparing.json"
        self._journal = state / "journal.json"

    # Reading --------------------------------------------------------------------------------------------------------------

    def read_values(self, policy: UpdatePolicy) -> dict[str, ConfigValue]:
        """Return the present value by rule target; a key that is missing, no scalar, or in a file that cannot be read has no entry."""
        values: dict[str, ConfigValue] = {}
        parsed: dict[str, Any] = {}
        for rule in policy.keys:
            try:
                if rule.file not in parsed:
                    parsed[rule.file] = parse(rule.format, self._read(self._path(rule.file)), rule.file)
                values[rule.target] = get(parsed[rule.file], rule.key, rule.target)
            except (ConfigFileError, OSError):
                continue
        return values

    def last_changed(self) -> dict[str, date]:
        """Return the day of the last change of each key that ever changed or was taken back, by rule target."""
        days: dict[str, date] = {}
        for receipt in self.receipts():
            for key in receipt.keys:
                days[key.target] = max(receipt.day, days.get(key.target, receipt.day))
        return days

    def receipts(self) -> list[Receipt]:
        """Return every finished change and every one taken back, by kind and decision."""
        return [
            _read_receipt(path)
            for kind in ("apply", "revert")
            for path in sorted((self._state / kind).glob("*.json"))
        ]

    # Changing -------------------------------------------------------------------------------------------------------------

    def apply(
        self,
        decision_id: str,
        changes: Sequence[ConfigChange],
        *,
        day: date,
        healthy: Callable[[], bool] | None = None,
    ) -> Receipt:
        """Make all changes of a decision, or none.

        Args:
            decision_id: Hex id; applying the same one again changes nothing and returns its receipt.
            changes: What `updates.plan_changes` returned; each old value is tested against the file first.
            day: Day of the decision, for the cool-down.
            healthy: Asked once the new files are in place; on False, or when it raises, the old bytes are restored.

        Raises:
            RefusedChangeError: a value or file is not what the decision was made for; nothing was changed.
            ConfigFileError: a file cannot be read or edited; nothing was changed.
            OSError: the disk refused; nothing was changed.
            NeedsHumanError: the old bytes could not be restored.
        """
        if _ID.fullmatch(decision_id) is None or not changes:
            message = f"decision {decision_id!r} with {len(changes)} changes: needs a hex id and at least one change"
            raise ValueError(message)
        with self._locked():
            if self._receipt("revert", decision_id):
                message = f"decision {decision_id} was taken back; a decision is applied once"
                raise RefusedChangeError(message)
            done = self._receipt("apply", decision_id)
            if done:
                return done
            contents = self._edited(changes)
            keys = tuple(
                KeyChange(target=change.rule.target, old=change.old, new=change.new) for change in changes
            )
            return self._switch("apply", decision_id, day, keys, contents, healthy)

    def revert(self, decision_id: str, *, day: date) -> Receipt:
        """Restore the exact bytes that the files of a decision had before it.

        Raises:
            RefusedChangeError: it was never applied, or a file has changed since, so that its old bytes would undo somebody else's work.
            NeedsHumanError: a backup is missing or damaged, or the change could not be finished.
        """
        with self._locked():
            done = self._receipt("revert", decision_id)
            if done:
                return done
            applied = self._receipt("apply", decision_id)
            if applied is None:
                message = f"decision {decision_id} was never applied; there is nothing to take back"
                raise RefusedChangeError(message)
            contents = {}
            for file in applied.files:
                present = self._read(self._path(file.path))
                if _hash(present) != file.new_hash:
                    message = f"{file.path} has changed since decision {decision_id}; take its backup {file.backup} by hand"
                    raise RefusedChangeError(message)
                contents[file.path] = (present, self._backup(file))
            keys = tuple(KeyChange(target=key.target, old=key.new, new=key.old) for key in applied.keys)
            return self._switch("revert", decision_id, day, keys, contents, None)

    def recover(self) -> str:
        """Take back a change that a crash left half done, and remove what it left lying about; return what was done, '' for nothing.

        Every other call does this first; call it at start, too.

        Raises:
            NeedsHumanError: it cannot be taken back.
        """
        with self._locked() as taken_back:
            return taken_back

    # How ------------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Generator[str]:
        """Hold the folder's lock, with no change half done; give what had to be taken back first."""
        self._state.mkdir(parents=True, exist_ok=True)
        with locked(self._state / "lock"):
            yield self._roll_back()

    def _edited(self, changes: Sequence[ConfigChange]) -> dict[str, tuple[bytes, bytes]]:
        """Return old and new bytes of each file, having tested every old value."""
        contents: dict[str, tuple[bytes, bytes]] = {}
        for change in changes:
            rule = change.rule
            try:
                rule.check(change.new)
            except ValueError as error:
                raise RefusedChangeError(str(error)) from error
            if rule.file not in contents:
                path = self._path(rule.file)
                if not path.stat().st_mode & stat.S_IWUSR:
                    message = f"{rule.file} is read-only; whoever marked it so does not want it changed"
                    raise RefusedChangeError(message)
                present = self._read(path)
                contents[rule.file] = (present, present)
            before, after = contents[rule.file]
            value = get(parse(rule.format, after, rule.file), rule.key, rule.target)
            if type(value) is not type(change.old) or value != change.old:
                message = (
                    f"{rule.target} is {value!r} and was {change.old!r} when this was decided; decide anew"
                )
                raise RefusedChangeError(message)
            contents[rule.file] = (before, replace(rule.format, after, rule.key, change.new, rule.file))
        return contents

    def _switch(
        self,
        kind: Literal["apply", "revert"],
        decision_id: str,
        day: date,
        keys: tuple[KeyChange, ...],
        contents: Mapping[str, tuple[bytes, bytes]],
        healthy: Callable[[], bool] | None,
    ) -> Receipt:
        files = tuple(
            FileChange(
                path=path,
                old_hash=_hash(old),
                new_hash=_hash(new),
                backup=f"backups/{decision_id}-{kind}-{position}-{_hash(old)}",
            )
            for position, (path, (old, new)) in enumerate(sorted(contents.items()))
        )
        receipt = Receipt(decision_id=decision_id, kind=kind, day=day, keys=keys, files=files)
        final = self._state / kind / f"{decision_id}.json"
        for folder in (final.parent, self._state / "backups"):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            self._place(self._preparing, receipt.model_dump_json(indent=2).encode() + b"\n", 0o600)
            for file in files:
                old, new = contents[file.path]
                self._place(self._state / file.backup, old, 0o600)
                path = self._path(file.path)
                self._disk.write_fresh(_beside(path, "new"), new, _mode(path))
            self._disk.rename(self._preparing, self._journal)
            self._disk.sync(self._state)
            for file in files:
                path = self._path(file.path)
                if _hash(self._read(path)) != file.old_hash:
                    message = f"{file.path} has changed since it was read; decide anew"
                    raise RefusedChangeError(message)
                self._disk.rename(_beside(path, "new"), path)
                self._disk.sync(path.parent)
            for file in files:
                if _hash(self._read(self._path(file.path))) != file.new_hash:
                    message = f"{file.path} does not read back as it was written; the old bytes are back"
                    raise ConfigFileError(message)
            if healthy is not None and not healthy():
                message = f"decision {decision_id}: the health check failed with the new files in place; the old bytes are back"
                raise RefusedChangeError(message)
            self._disk.rename(self._journal, final)
        except BaseException:
            self._roll_back()
            raise
        # Committed. Should these fail, the worst that a power cut can do is bring the journal back, and with it the old bytes of all files.
        self._disk.sync(final.parent)
        self._disk.sync(self._state)
        return receipt

    def _roll_back(self) -> str:
        """Bring all files of a change that is under way back to their old bytes; return what was done, '' for nothing.

        A file whose new version still lies beside it was not switched, and is left as it is. Each step can be repeated, so that a crash in here
        is met by the next call.
        """
        path = self._journal if self._journal.exists() else self._preparing
        if not path.exists():
            self._disk.remove(_beside(self._preparing, "new"))
            return ""
        receipt = _read_receipt(path)
        try:
            if path == self._journal:
                switched = [
                    file for file in receipt.files if not _beside(self._root / file.path, "new").exists()
                ]
                for file, target, content in [
                    self._restoring(file, receipt.decision_id) for file in switched
                ]:
                    if content is not None:
                        self._disk.write_fresh(_beside(target, "old"), content, _mode(target))
                        self._disk.rename(_beside(target, "old"), target)
                        self._disk.sync(target.parent)
                        if _hash(self._read(target)) != file.old_hash:
                            message = f"{file.path} does not read back as its backup"
                            raise ConfigFileError(message)
                self._disk.rename(self._journal, self._preparing)  # nothing is switched any more
                self._disk.sync(self._state)
            for file in receipt.files:
                for part in ("new", "old"):
                    self._disk.remove(_beside(self._root / file.path, part))
                self._disk.remove(_beside(self._state / file.backup, "new"))
            self._disk.remove(self._preparing)
            self._disk.remove(_beside(self._preparing, "new"))
            self._disk.sync(self._state)
        except (OSError, ConfigFileError) as error:
            message = f"needs a person: decision {receipt.decision_id} is half done and could not be taken back: {error}; {path} says what to restore from where"
            raise NeedsHumanError(message) from error
        return f"{receipt.kind} of decision {receipt.decision_id} was half done and has been taken back"

    def _restoring(self, file: FileChange, decision_id: str) -> tuple[FileChange, Path, bytes | None]:
        """Return the bytes that a switched file must get back; None when it has them."""
        path = self._path(file.path)
        present = _hash(self._read(path))
        if present == file.old_hash:
            return file, path, None
        if present != file.new_hash:
            message = (
                f"needs a person: {file.path} holds neither what it held before decision {decision_id} nor what was written; "
                f"compare it with {self._state / file.backup}, then remove {self._journal}"
            )
            raise NeedsHumanError(message)
        return file, path, self._backup(file)

    def _backup(self, file: FileChange) -> bytes:
        path = self._state / file.backup
        content = path.read_bytes() if path.is_file() else b""
        if _hash(content) != file.old_hash:
            message = (
                f"needs a person: backup {path} of {file.path} is missing or damaged; nothing more is changed"
            )
            raise NeedsHumanError(message)
        return content

    def _place(self, path: Path, content: bytes, mode: int) -> None:
        """Put one of our own files in place whole and synced."""
        self._disk.place(path, content, mode, by_way_of=_beside(path, "new"))

    def _path(self, relative: str) -> Path:
        """Return the file's path; refuse one that leads through a link or out of the folder, or is no plain file of a single name."""
        path = self._root / relative
        try:
            status = path.lstat()
        except OSError as error:
            message = f"{relative} cannot be read: {error.strerror}"
            raise ConfigFileError(message) from error
        if path.resolve() != path:
            message = f"{relative} leads through a link or out of {self._root}; only plain files below it are changed"
            raise ConfigFileError(message)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            message = f"{relative} must be a plain file with a single name"
            raise ConfigFileError(message)
        return path

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            message = f"{path.name} is larger than {_MAX_BYTES} bytes"
            raise ConfigFileError(message)
        return content

    def _receipt(self, kind: str, decision_id: str) -> Receipt | None:
        path = self._state / kind / f"{decision_id}.json"
        return _read_receipt(path) if _ID.fullmatch(decision_id) and path.exists() else None


def _read_receipt(path: Path) -> Receipt:
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        message = f"needs a person: {path} cannot be read; the backups beside it hold the earlier files"
        raise NeedsHumanError(message) from error


def _beside(path: Path, part: Literal["new", "old"] | str) -> Path:
    return path.with_name(f".{path.name}.fl-{part}")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Editing: bytes in, bytes out -------------------------------------------------------------------------------------------


def parse(kind: ConfigFormat, content: bytes, name: str) -> Any:
    """Return a config's content as plain dicts, lists and scalars.

    Raises:
        ConfigFileError: it is no UTF-8, no such format, or holds a key twice.
    """
    try:
        text = content.decode("utf-8").removeprefix(_BOM)
        if kind == "toml":
            return tomllib.loads(text)
        if kind == "json":
            return strict_json(text)
        return YAML(typ="safe", pure=True).load(text)
    except (ValueError, YAMLError, RecursionError) as error:
        message = f"{name} cannot be read as {kind}: {' '.join(str(error).split())[:200]}"
        raise ConfigFileError(message) from error


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
            message = f"{target} is not there"
            raise ConfigFileError(message)
    if not isinstance(node, bool | int | float | str):
        message = f"{target} is {type(node).__name__}; must be a number, a text or a switch"
        raise ConfigFileError(message)
    return node


def replace(kind: ConfigFormat, content: bytes, key: Key, new: ConfigValue, name: str) -> bytes:
    """Return the config with one scalar replaced and every other byte kept: comments, order, blanks, line ends.

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
    # The proof, whatever the editor above did: read anew it differs in this key alone, and in this line alone. `repr` tells 1, 1.0 and true apart, and order.
    lines, edited_lines = (mark + text).splitlines(keepends=True), edited.splitlines(keepends=True)
    changed = sum(before != after for before, after in zip(lines, edited_lines, strict=False)) + abs(
        len(lines) - len(edited_lines)
    )
    result = edited.encode("utf-8")
    if repr(parse(kind, result, name)) != repr(expected) or changed > 1:
        message = f"{target} cannot be changed alone: other keys or lines would change with it"
        raise ConfigFileError(message)
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
        message = f"{target} cannot be edited: {error}"
        raise ConfigFileError(message) from error


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
        message = f"{target} must be a plain or quoted scalar without an anchor"
        raise ConfigFileError(message)
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
                message = f"{target} is not there"
                raise ConfigFileError(message)
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
