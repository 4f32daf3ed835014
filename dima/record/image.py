"""The image that a process runs in, by the digest of its file, and whether images.lock lists it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dima.record.files import read_json, write_json

LOCK = "images.lock"  # in the images' folder: builds by name
NO_IMAGE = "none"


def image_of_process(environ: Mapping[str, str] = os.environ) -> str:
    """The image of this process: `none`, `sha256:<hex>`, or the same marked `unpinned` if not in images.lock.

    Apptainer gives every process the path of its image.
    """
    name = environ.get("APPTAINER_CONTAINER")
    if not name:
        return NO_IMAGE
    path = Path(name)
    if not path.is_file():
        return f"unpinned: {path.name} cannot be read from inside"
    digest = file_digest(path)
    return digest if locked(path).get("digest") == digest else f"{digest} (unpinned)"


def file_digest(path: Path) -> str:
    """`sha256:<hex>` of the file, cached next to it if possible until its size or time of change differs."""
    stamp = path.with_name(f"{path.name}.digest")
    status = path.stat()
    seen = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    known = read_json(stamp)
    if isinstance(known, dict) and {key: known.get(key) for key in seen} == seen:
        return known["digest"]
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if os.access(path.parent, os.W_OK):
        write_json(stamp, {**seen, "digest": digest})
    return digest


def locked(image: Path) -> dict[str, Any]:
    """The entry of the image in images.lock, empty without one."""
    entry = (read_json(image.with_name(LOCK)) or {}).get(image.stem)
    return entry if isinstance(entry, dict) else {}
