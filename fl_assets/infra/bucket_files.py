"""A local copy of a bucket's files (S3, GCS, Azure). Needs the extra [object-storage].

What goes here: which objects are new, fetching them. What does not: the store (`remote_lake.py`), what is in
a file.

A file stays in the folder after its object was deleted, as it may not have been read yet.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from fl_assets.infra.disk import locked, sync_folder, write_atomically
from fl_assets.infra.errors import LakeError, first_words
from fl_assets.infra.open_lake import require_object_storage

_HELD, _LOCK = ".held.json", ".lock"
_LEFT_OUT = (".tmp", ".part", ".swp")
KEPT_FREE = 1024**3
"""Bytes of the disk that are left free."""


def refresh(url: str, folder: Path, progress: Callable[[str], None] = lambda _: None) -> int:
    """Fetch the objects below a URL that are new or changed; return how many.

    Raises:
        LakeError: the store cannot be reached, the disk has too little room, or the extra is not installed.
    """
    require_object_storage("TELEMETRY_PATH", url)
    from obstore.exceptions import BaseError

    from fl_assets.infra.remote_lake import Objects

    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _LOCK):
        try:
            objects = Objects(url)
            listed = objects.listed()
            return _fetch(objects, listed, folder, progress)
        except (BaseError, FileNotFoundError, ValueError) as error:
            raise LakeError(
                f"{url} cannot be read as the folder of telemetry: {first_words(error)}. Check that the "
                "bucket exists, and the credentials and the endpoint in the environment "
                "(AWS_*, GOOGLE_*, AZURE_*)"
            ) from None


def _fetch(objects: Any, listed: list[Any], folder: Path, progress: Callable[[str], None]) -> int:
    path = folder / _HELD
    held: dict[str, list[Any]] = orjson.loads(path.read_bytes()) if path.exists() else {}
    version = {one.key: [one.size, one.modified.isoformat()] for one in listed if _is_telemetry(one.key)}
    new = [one for one in listed if one.key in version and held.get(one.key) != version[one.key]]
    needed = sum(one.size for one in new)
    if needed + KEPT_FREE > (free := shutil.disk_usage(folder).free):
        raise LakeError(
            f"{objects.url} has {needed / 1e9:.1f} GB of new telemetry, and {folder} has room for "
            f"{max(0, free - KEPT_FREE) / 1e9:.1f}: make room, or name a longer prefix"
        )
    try:
        for number, one in enumerate(new, 1):
            progress(f"fetching file {number:,} of {len(new):,}")
            try:
                _fetch_one(objects, one, folder / one.key)
            except (NotADirectoryError, IsADirectoryError, FileExistsError):  # an object `a` beside `a/b`
                _fetch_one(objects, one, folder / one.key.replace("/", "__"))
            except FileNotFoundError:
                continue  # deleted since it was listed
            held[one.key] = version[one.key]
    finally:
        if new:
            write_atomically(path, orjson.dumps(held))
            sync_folder(folder)
    return len(new)


def _fetch_one(objects: Any, one: Any, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.fetched")
    objects.download(one.key, temporary)
    os.utime(temporary, (one.modified.timestamp(), one.modified.timestamp()))
    temporary.replace(target)


def _is_telemetry(key: str) -> bool:
    """Whether ingestion reads files of this name, and the disk can hold one."""
    parts = key.split("/")
    return (
        all(part and not part.startswith(".") and len(os.fsencode(part)) < 240 for part in parts)
        and "\0" not in key
        and not key.lower().endswith(_LEFT_OUT)
    )
