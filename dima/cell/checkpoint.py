"""Checkpoints: tensors in safetensors, everything else in JSON, with a digest over both.

The last two are kept. No pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dima.errors import UserError
from dima.record.files import sync_folder, write_json
from envs.retry import tried_again

FORMAT = 1
KEPT = 2
TENSORS, CONTENT = "tensors.safetensors", "content.json"


class Packed(NamedTuple):
    """A copy of a state: tensors and arrays in host memory, everything else as JSON with their paths."""

    tensors: dict[str, Tensor]
    content: str


def pack(state: dict[str, Any]) -> Packed:
    """A copy of `state`: nested dicts, lists and tuples of tensors, arrays and plain values.

    Raises:
        TypeError: the state holds something else.
    """
    tensors: dict[str, Tensor] = {}
    content = _pack(state, "", tensors)
    return Packed(tensors, json.dumps(content, sort_keys=True))


def save_checkpoint(folder: Path, number: int, state: dict[str, Any]) -> None:
    """`write_checkpoint` of a state that is packed first, which may raise TypeError."""
    write_checkpoint(folder, number, pack(state))


def write_checkpoint(folder: Path, number: int, packed: Packed) -> None:
    """Write a state as `folder/<number>`, whole or not at all, and drop all but the last two.

    Checkpoints with a larger number are damaged ones that were passed over. They are removed too, or they
    would count as the newest.

    Args:
        folder: of the cell's checkpoints.
        number: grows from one checkpoint to the next (environment steps).
        packed: the state.

    Raises:
        OSError: the disk is full or cannot be written; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside, target = folder / f".{number:012d}.{os.getpid()}", folder / f"{number:012d}"
    for stale in folder.glob(".*"):
        shutil.rmtree(stale)
    aside.mkdir()
    try:
        save_file(packed.tensors, aside / TENSORS)
        digest = _digest(aside / TENSORS, packed.content)
        write_json(aside / CONTENT, {"format": FORMAT, "digest": digest, "content": packed.content})
        _sync_file(aside / TENSORS)
        sync_folder(aside)
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        in_words = re.search(r"os error (\d+)", str(error))  # safetensors has the number in its text only
        number = getattr(error, "errno", None) or (int(in_words[1]) if in_words else errno.EIO)
        raise OSError(number, f"The checkpoint {target} could not be written: {error}") from error
    sync_folder(folder)
    written = [path for path in _numbered(folder) if int(path.name) <= number]
    for path in set(_numbered(folder)) - set(written[-KEPT:]):
        shutil.rmtree(path)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint, sound or damaged."""
    return bool(_numbered(folder))


def load_checkpoint(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest sound state and one sentence for each damaged checkpoint that was passed over.

    None where there is no checkpoint.

    Raises:
        UserError: there are checkpoints, and all are damaged.
    """
    faults: list[str] = []
    for path in reversed(_numbered(folder)):
        try:
            return tried_again(partial(_load, path), _may_pass), faults
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            faults.append(
                f"Checkpoint {path} is damaged and was passed over ({' '.join(str(error).split())})."
            )
    if faults:
        again = "start again with --from-scratch, which keeps the log"
        raise UserError(f"{' '.join(faults)} No sound checkpoint is left: {again}.")
    return None, faults


def _may_pass(error: Exception) -> bool:
    """Whether the file system may recover from the error; a missing file does not come back."""
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError)


def _load(path: Path) -> dict[str, Any]:
    stored = json.loads((path / CONTENT).read_text(encoding="utf-8"))
    if stored["format"] != FORMAT:
        raise ValueError(f"format {stored['format']} instead of {FORMAT}")
    if stored["digest"] != _digest(path / TENSORS, stored["content"]):
        raise ValueError("its digest does not match its content")
    # in memory of their own: how kernels round depends on the alignment of their operands
    tensors = {name: tensor.clone() for name, tensor in load_file(path / TENSORS).items()}
    return _unpack(json.loads(stored["content"]), tensors)


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.name.isdigit())


def _digest(tensors: Path, text: str) -> str:
    with tensors.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(text.encode())
    return digest.hexdigest()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON for `value`; tensors and arrays move into `tensors` under their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, np.ndarray):
        tensors[path] = torch.from_numpy(np.ascontiguousarray(value)).clone()
        return {"array": path, "shape": list(value.shape)}
    if isinstance(value, dict):
        return {"items": [[key, _pack(entry, f"{path}/{key}", tensors)] for key, entry in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_pack(entry, f"{path}/{index}", tensors) for index, entry in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(f"{path or 'the state'} is a {type(value).__name__}, which a checkpoint cannot hold")


def _unpack(packed: Any, tensors: dict[str, Tensor]) -> Any:
    if "tensor" in packed:
        return tensors[packed["tensor"]]
    if "array" in packed:
        return tensors[packed["array"]].numpy().reshape(packed["shape"])
    if "items" in packed:
        return {key: _unpack(entry, tensors) for key, entry in packed["items"]}
    if "list" in packed:
        return [_unpack(entry, tensors) for entry in packed["list"]]
    return packed["value"]
