"""Building an image next to the old one, renaming it when complete, and recording its digest."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dima.containers.recipe import FOLDER, arguments, definition, image_path, recipe
from dima.errors import UserError
from dima.record.files import read_json, replacing, write_json
from dima.record.image import LOCK, file_digest
from dima.record.provenance import commit_of


def build_image(name: str) -> Path:
    """Build `containers/<name>.sif` from its definition and arguments, and record it in images.lock.

    Cells that run in the old image keep its file.

    Raises:
        UserError: there is no such definition, no Apptainer, or the build fails.
    """
    source, made_from = definition(name), recipe(name)
    if shutil.which("apptainer") is None:
        raise UserError("apptainer was not found: install it, or run cells without --sdm apptainer.")
    commit, dirty = commit_of(Path.cwd())
    given = arguments(name)
    origin = {"commit": commit or "", "dirty": {True: "true", False: "false", None: "null"}[dirty]}
    values = {**origin, **given} if name == "dima" else given
    quoted = [_quoted(f"{key}={value}") for key, value in values.items()]
    pairs = [part for pair in quoted for part in ("--build-arg", pair)]
    image = image_path(name)
    with replacing(image) as aside:
        result = subprocess.run(["apptainer", "build", *pairs, str(aside), str(source)], check=False)  # noqa: S607 - the user's own arguments
        if result.returncode != 0:
            status = f"apptainer ended with status {result.returncode}; its output is above"
            raise UserError(f"{image} was not built: {status}.")
    entry = {"digest": file_digest(image), "recipe": made_from, "commit": commit, "dirty": dirty}
    entry["arguments"] = given
    with _one_at_a_time(FOLDER):
        lock = FOLDER / LOCK
        write_json(lock, {**(read_json(lock) or {}), name: entry})
    return image


def _quoted(pair: str) -> str:
    """Quoted as a field of CSV, since Apptainer reads a build argument as a line of it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([pair])
    return line.getvalue()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Builds that end at once must keep each other's entries."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
