"""Frames that nobody rendered: a body on legs that walks to the right, in the form of `dima study frames`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIDE = 120


def frame_arrays(
    errors: Mapping[str, Sequence[float]] | None = None,
    still: Sequence[float] = (0.1, 0.3, 0.5, 0.6),
    steps: Sequence[int] = (1, 5, 10, 14),
    word: str = "",
    **changes: Any,
) -> dict[str, Any]:
    """The arrays of a file. Each rollout of `errors` is drawn as far off as its errors say, with `word` in
    every picture."""
    errors = {"none": [0.05, 0.2, 0.6, 0.9]} if errors is None else errors
    imagined = [
        [drawn(step, error, word) for step, error in zip(steps, row, strict=True)] for row in errors.values()
    ]
    return {
        "steps": np.array(steps, dtype=np.int64),
        "real": np.stack([drawn(step, 0.0, word) for step in steps]),
        "names": np.array(list(errors)),
        "imagined": np.array(imagined, dtype=np.uint8),
        "error": np.array(list(errors.values()), dtype=np.float64),
        "still": np.array(still, dtype=np.float64),
        "episode": np.array("dima seed-1"),
        "start": np.array(37, dtype=np.int64),
        "synthetic": np.array(""),
        **changes,
    }


def frames_bytes(arrays: Mapping[str, Any]) -> bytes:
    """The content of `frames.npz`."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def write_frames(cell: Path, **arguments: Any) -> Path:
    """Leave the frames of the cell in this folder; the arguments are those of `frame_arrays`."""
    path = cell / "studies/frames.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(frames_bytes(frame_arrays(**arguments)))
    return path


def drawn(step: int, error: float, word: str) -> np.ndarray:
    """One picture [SIDE, SIDE, 3]: white where the error is no number, which says that the model does not
    reach this step."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    if np.isfinite(error):
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, 92, SIDE, SIDE), fill="#D9D9D9")
        x, y = 30 + 4 * step, 62 + 18 * error
        for foot, knee in ((-24, -16), (-9, -12), (9, 12), (24, 16)):
            pen.line((x, y, x + knee, y + 6 - 12 * error), fill="#5A6B7B", width=4)
            pen.line(
                (x + knee, y + 6 - 12 * error, x + foot + 40 * error, 92 - 14 * error),
                fill="#5A6B7B",
                width=4,
            )
        pen.ellipse((x - 11, y - 11, x + 11, y + 11), fill="#8FA3B5", outline="#5A6B7B")
        pen.text((6, 6), word, fill="#7F7F7F")
    return np.asarray(image)
