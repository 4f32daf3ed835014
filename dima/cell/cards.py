"""Cells that share the GPUs of one machine: how much of a GPU each takes, and which one it gets.

The workflow finds the GPUs and limits how many cells run at once, by percent of a GPU
(workflow/rules/cards.smk). A cell takes its part of the GPU with the most room, by a lock that ends with its
process, and sees no other GPU.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

VISIBLE = "CUDA_VISIBLE_DEVICES"
WHOLE = 100
"""Percent of a GPU."""
QUERY = ("--query-gpu=uuid,index,memory.total,name", "--format=csv,noheader,nounits")
SECONDS = 15
_held: list[IO[bytes]] = []  # a lock ends when its file is closed


class Card(NamedTuple):
    """A GPU: its UUID, which is the same for every program, its memory in MiB, and its name."""

    uuid: str
    memory: int
    name: str = ""


def find_cards(environ: Mapping[str, str] = os.environ) -> list[Card]:
    """The GPUs of this machine that `CUDA_VISIBLE_DEVICES` does not hide; none where `nvidia-smi` fails."""
    tool = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if tool is None:
        return []
    try:
        said = subprocess.run(
            [tool, *QUERY], capture_output=True, text=True, timeout=SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [
        [part.strip() for part in line.split(",", 3)] for line in said.splitlines() if line.count(",") >= 3
    ]
    cards = {index: Card(uuid, int(memory), name) for uuid, index, memory, name in lines if memory.isdigit()}
    if VISIBLE not in environ:
        return list(cards.values())
    wanted = [word.strip() for word in environ[VISIBLE].split(",") if word.strip()]
    return [
        card
        for word in wanted
        for index, card in cards.items()
        if index == word or word.startswith("GPU-") and card.uuid.startswith(word)
    ]


def take_card(uuids: Sequence[str], percent: int) -> None:
    """Wait until one of these GPUs has room for so many percent, and let this process see no other.

    Does nothing without GPUs to share. Call it before CUDA starts.
    """
    if not uuids:
        return
    folder = Path(tempfile.gettempdir()) / f"dima-cards-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    uuid = part_of_a_card(uuids, percent, folder)
    if uuid is None:
        others = "it" if len(uuids) == 1 else "them"
        print(f"Waiting for room for {percent} % of a GPU: other cells hold {others}.", flush=True)
    while uuid is None:
        time.sleep(1)
        uuid = part_of_a_card(uuids, percent, folder)
    os.environ[VISIBLE] = uuid


def part_of_a_card(uuids: Sequence[str], percent: int, folder: Path) -> str | None:
    """Take so many percent of the GPU with the most room until this process ends; None where none has room.

    Each GPU is a file in `folder`, and each percent a byte of it, which is locked.
    """
    files = {uuid: (folder / uuid).open("ab") for uuid in uuids}
    taken = None
    for first in range(WHOLE - percent + 1):
        taken = next((uuid for uuid, file in files.items() if _locks(file, percent, first)), None)
        if taken:
            break
    for uuid, file in files.items():
        if uuid == taken:
            _held.append(file)
        else:
            file.close()
    return taken


def _locks(file: IO[bytes], length: int, first: int) -> bool:
    """Whether bytes of the file were free and are now locked."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
    except OSError:
        return False
    return True
