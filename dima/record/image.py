"""Which image a process runs in, by the digest of the image's file, and whether images.lock knows it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dima.record.files import read_json, write_json

LOCK = "images.lock"  # beside the images: name -> what was built
NO_IMAGE = "none"


def image_of_process(environ: Mapping[str, str] = os.environ) -> str:
    """The image that this process runs in.

    `none`, `sha256:<hex>`, or the same marked `unpinned` where images.lock says otherwise.

    Apptainer names the image's file in every process that it starts; only the file itself says what is in it.
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
    """`sha256:<hex>` of the file.

    Read anew only when its size or time of change is not what it was; kept beside it where it may be.
    """
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
    """What images.lock says of the image, empty where it says nothing."""
    entry = (read_json(image.with_name(LOCK)) or {}).get(image.stem)
    return entry if isinstance(entry, dict) else {}
