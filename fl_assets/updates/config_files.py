"""Config files: read, changed several together or not at all, and taken back exactly.

What goes here: backups, the journal that makes several renames one change, and recovery. What does not: which
key may change to what (`updates/policy.py`), editing the text of a file (`updates/edit.py`).

One change, in order: test the old values; write what is planned (`preparing.json`); write backups, and the
new files beside the old ones; rename the plan to `journal.json`; rename each new file into place; read back;
rename the journal to a receipt. That last rename is the commit: every failure and every crash before it ends
in the old bytes of all files, after it in the new ones. (Undo logging: Gray and Reuter, "Transaction
Processing", 1992, ch. 9.) When not even the old bytes can be restored, it stops: the journal stays, nothing
else is changed, and `NeedsHumanError` says what to look at.
"""

import hashlib
import re
import stat
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from fl_assets.core.models import Record
from fl_assets.infra.disk import Disk, locked
from fl_assets.infra.errors import NeedsHumanError
from fl_assets.updates.edit import ConfigFileError, get, parse, replace
from fl_assets.updates.policy import ConfigChange, ConfigValue, RefusedChangeError, UpdatePolicy, refusing

_ID = re.compile(r"[0-9a-f]{8,64}")
_MAX_BYTES = 4 * 1024 * 1024


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

    # Reading
    # ------------------------------------------------------------------------------------------------

    def read_values(self, policy: UpdatePolicy) -> dict[str, ConfigValue]:
        """Return present values by rule target; a key that cannot be read as a scalar has no entry."""
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
        """Return the day of the last change of each key that ever changed, by rule target."""
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

    # Changing
    # ------------------------------------------------------------------------------------------------

    def apply(self, decision_id: str, changes: Sequence[ConfigChange], *, day: date) -> Receipt:
        """Make all changes of a decision, or none.

        Args:
            decision_id: Hex id; applying the same one again changes nothing and returns its receipt.
            changes: What `updates.plan_changes` returned; each old value is tested against the file first.
            day: Day of the decision, for the cool-down.

        Raises:
            RefusedChangeError: a value or file is not what the decision was made for; nothing was changed.
            ConfigFileError: a file cannot be read or edited; nothing was changed.
            OSError: the disk refused; nothing was changed.
            NeedsHumanError: the old bytes could not be restored.
        """
        if _ID.fullmatch(decision_id) is None or not changes:
            raise ValueError(
                f"decision {decision_id!r} with {len(changes)} changes: needs a hex id and at least "
                "one change"
            )
        with self._locked():
            if self._receipt("revert", decision_id):
                raise RefusedChangeError(f"decision {decision_id} was taken back; a decision is applied once")
            done = self._receipt("apply", decision_id)
            if done:
                return done
            contents = self._edited(changes)
            keys = tuple(
                KeyChange(target=change.rule.target, old=change.old, new=change.new) for change in changes
            )
            return self._switch("apply", decision_id, day, keys, contents)

    def revert(self, decision_id: str, *, day: date) -> Receipt:
        """Restore the exact bytes that the files of a decision had before it.

        Raises:
            RefusedChangeError: it was never applied, or a file has changed since, so that its old bytes
                would undo somebody else's work.
            NeedsHumanError: a backup is missing or damaged, or the change could not be finished.
        """
        with self._locked():
            done = self._receipt("revert", decision_id)
            if done:
                return done
            applied = self._receipt("apply", decision_id)
            if applied is None:
                raise RefusedChangeError(
                    f"decision {decision_id} was never applied; there is nothing to take back"
                )
            contents = {}
            for file in applied.files:
                present = self._read(self._path(file.path))
                if _hash(present) != file.new_hash:
                    raise RefusedChangeError(
                        f"{file.path} has changed since decision {decision_id}; take its backup "
                        f"{file.backup} by hand"
                    )
                contents[file.path] = (present, self._backup(file))
            keys = tuple(KeyChange(target=key.target, old=key.new, new=key.old) for key in applied.keys)
            return self._switch("revert", decision_id, day, keys, contents)

    def recover(self) -> str:
        """Roll back a change that a crash left half done; return what was done, '' for nothing.

        Every other call does this first; call it at start, too.

        Raises:
            NeedsHumanError: it cannot be taken back.
        """
        with self._locked() as taken_back:
            return taken_back

    # How
    # ------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Generator[str]:
        """Hold the folder's lock, after rolling back what a crash left; give what was done."""
        self._state.mkdir(parents=True, exist_ok=True)
        with locked(self._state / "lock"):
            yield self._roll_back()

    def _edited(self, changes: Sequence[ConfigChange]) -> dict[str, tuple[bytes, bytes]]:
        """Return old and new bytes of each file, having tested every old value."""
        contents: dict[str, tuple[bytes, bytes]] = {}
        for change in changes:
            rule = change.rule
            with refusing(ValueError):
                rule.check(change.new)
            if rule.file not in contents:
                path = self._path(rule.file)
                if not path.stat().st_mode & stat.S_IWUSR:
                    raise RefusedChangeError(
                        f"{rule.file} is read-only; whoever marked it so does not want it changed"
                    )
                present = self._read(path)
                contents[rule.file] = (present, present)
            before, after = contents[rule.file]
            value = get(parse(rule.format, after, rule.file), rule.key, rule.target)
            if type(value) is not type(change.old) or value != change.old:
                raise RefusedChangeError(
                    f"{rule.target} is {value!r} and was {change.old!r} when this was decided; decide again"
                )
            contents[rule.file] = (before, replace(rule.format, after, rule.key, change.new, rule.file))
        return contents

    def _switch(
        self,
        kind: Literal["apply", "revert"],
        decision_id: str,
        day: date,
        keys: tuple[KeyChange, ...],
        contents: Mapping[str, tuple[bytes, bytes]],
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
                self._disk.write_like(_beside(path, "new"), new, like=path)
            self._disk.rename(self._preparing, self._journal)
            self._disk.sync(self._state)
            for file in files:
                path = self._path(file.path)
                if _hash(self._read(path)) != file.old_hash:
                    raise RefusedChangeError(f"{file.path} has changed since it was read; decide again")
                self._disk.rename(_beside(path, "new"), path)
                self._disk.sync(path.parent)
            for file in files:
                if _hash(self._read(self._path(file.path))) != file.new_hash:
                    raise ConfigFileError(
                        f"{file.path} does not read back as it was written; the old bytes are back"
                    )
            self._disk.rename(self._journal, final)
        except BaseException:
            self._roll_back()
            raise
        # Committed. Should these fail, the worst that a power cut can do is bring the journal back, and with
        # it the old bytes of all files.
        self._disk.sync(final.parent)
        self._disk.sync(self._state)
        return receipt

    def _roll_back(self) -> str:
        """Restore the old bytes of an unfinished change; return what was done, '' for nothing.

        A file whose new version still lies beside it was not switched. Each step can be repeated, so the next
        call recovers from a crash in here.
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
                restored = [self._restoring(file, receipt.decision_id) for file in switched]
                for file, target, content in restored:
                    if content is not None:
                        self._disk.write_like(_beside(target, "old"), content, like=target)
                        self._disk.rename(_beside(target, "old"), target)
                        self._disk.sync(target.parent)
                        if _hash(self._read(target)) != file.old_hash:
                            raise ConfigFileError(f"{file.path} does not read back as its backup")
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
            raise NeedsHumanError(
                f"needs a person: decision {receipt.decision_id} is half done and could not be "
                f"taken back: {error}; {path} says what to restore from where"
            ) from error
        return f"{receipt.kind} of decision {receipt.decision_id} was half done and has been taken back"

    def _restoring(self, file: FileChange, decision_id: str) -> tuple[FileChange, Path, bytes | None]:
        """Return a switched file, its path, and the bytes to restore; None when it has them."""
        path = self._path(file.path)
        present = _hash(self._read(path))
        if present == file.old_hash:
            return file, path, None
        if present != file.new_hash:
            raise NeedsHumanError(
                f"needs a person: {file.path} holds neither what it held before decision {decision_id} "
                "nor what was written; "
                f"compare it with {self._state / file.backup}, then remove {self._journal}"
            )
        return file, path, self._backup(file)

    def _backup(self, file: FileChange) -> bytes:
        path = self._state / file.backup
        content = path.read_bytes() if path.is_file() else b""
        if _hash(content) != file.old_hash:
            raise NeedsHumanError(
                f"needs a person: backup {path} of {file.path} is missing or damaged; nothing more is changed"
            )
        return content

    def _place(self, path: Path, content: bytes, mode: int) -> None:
        """Put one of our own files in place whole and synced."""
        self._disk.place(path, content, mode, by_way_of=_beside(path, "new"))

    def _path(self, relative: str) -> Path:
        """Return the path of a plain file with a single name, reached without links and inside the folder."""
        path = self._root / relative
        try:
            status = path.lstat()
        except OSError as error:
            raise ConfigFileError(f"{relative} cannot be read: {error.strerror}") from error
        if path.resolve() != path:
            raise ConfigFileError(
                f"{relative} leads through a link or out of {self._root}; only plain files below it "
                "are changed"
            )
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise ConfigFileError(f"{relative} must be a plain file with a single name")
        return path

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigFileError(f"{path.name} is larger than {_MAX_BYTES} bytes")
        return content

    def _receipt(self, kind: str, decision_id: str) -> Receipt | None:
        path = self._state / kind / f"{decision_id}.json"
        return _read_receipt(path) if _ID.fullmatch(decision_id) and path.exists() else None


def _read_receipt(path: Path) -> Receipt:
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise NeedsHumanError(
            f"needs a person: {path} cannot be read; the backups beside it hold the earlier files"
        ) from error


def _beside(path: Path, part: Literal["new", "old"] | str) -> Path:
    return path.with_name(f".{path.name}.fl-{part}")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
