"""Files of a bucket (S3, GCS, Azure), as a local folder that is brought up to it.

What goes here: which objects are new, fetching them. What does not: the store (`remote_lake.py`), what is in
a file. Needs the extra [object-storage].

An object that went away stays in the folder: what was read is stored, and what was not shall not be lost.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from fl_assets.infra.disk import locked, sync_folder, write_atomically
from fl_assets.infra.errors import LakeError

_HELD, _LOCK = ".held.json", ".lock"
_LEFT_OUT = (".tmp", ".part", ".swp")
KEPT_FREE = 1024**3
"""Bytes of the disk that fetched files leave free."""


def refresh(url: str, folder: Path, progress: Callable[[str], None] = lambda _: None) -> int:
    """Fetch the objects below a URL that the folder lacks or has in another version; return how many.

    Raises:
        LakeError: the store cannot be reached, the disk has too little room, or the extra is not installed.
    """
    try:
        from obstore.exceptions import BaseError

        from fl_assets.infra.remote_lake import Objects
    except ImportError:
        message = (
            f"FEDERATED_LEARNING_TELEMETRY_PATH={url}, but obstore is not installed: "
            "pip install 'fl-assets[object-storage]', or name a folder"
        )
        raise LakeError(message) from None
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _LOCK):
        try:
            objects = Objects(url)
            listed = objects.listed()
            return _fetch(objects, listed, folder, progress)
        except (BaseError, FileNotFoundError, ValueError) as error:
            words = re.split(r"[<\n]", str(error))[0][
                :300
            ].strip()  # what a server says may quote the request
            message = (
                f"{url} cannot be read as the folder of telemetry: {words}. Check that the bucket exists, "
                "and the credentials and the endpoint in the environment (AWS_*, GOOGLE_*, AZURE_*)"
            )
            raise LakeError(message) from None


def _fetch(objects: Any, listed: list[Any], folder: Path, progress: Callable[[str], None]) -> int:
    path = folder / _HELD
    held: dict[str, list[Any]] = orjson.loads(path.read_bytes()) if path.exists() else {}
    version = {one.key: [one.size, one.modified.isoformat()] for one in listed if _is_telemetry(one.key)}
    new = [one for one in listed if one.key in version and held.get(one.key) != version[one.key]]
    needed = sum(one.size for one in new)
    if needed + KEPT_FREE > (free := shutil.disk_usage(folder).free):
        message = (
            f"{objects.url} has {needed / 1e9:.1f} GB of new telemetry, and {folder} has room for "
            f"{max(0, free - KEPT_FREE) / 1e9:.1f}: make room, or name a longer prefix"
        )
        raise LakeError(message)
    try:
        for number, one in enumerate(new, 1):
            progress(f"fetching file {number:,} of {len(new):,}")
            try:
                _fetch_one(objects, one, folder / one.key)
            except (NotADirectoryError, IsADirectoryError, FileExistsError):  # an object `a` beside `a/b`
                _fetch_one(objects, one, folder / one.key.replace("/", "__"))
            except FileNotFoundError:
                continue  # it went away since it was listed
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
    """Whether a folder would be searched for a file of this name, and can hold it."""
    parts = key.split("/")
    return (
        all(part and not part.startswith(".") and len(os.fsencode(part)) < 240 for part in parts)
        and "\0" not in key
        and not key.lower().endswith(_LEFT_OUT)
    )
