"""Reading the frames that `dima study frames` writes of one cell; a damaged file is refused by name."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int, UInt8

from dima.analysis.studies.files import read_order
from dima.errors import UserError

# type and axes of each array
_FORM: dict[str, tuple[str, str]] = {
    "steps": ("int64", "S"),
    "real": ("uint8", "SHW3"),
    "names": ("str", "R"),
    "imagined": ("uint8", "RSHW3"),
    "error": ("float64", "RS"),
    "still": ("float64", "S"),
    "episode": ("str", ""),
    "start": ("int64", ""),
    "synthetic": ("str", ""),
}


# what numpy and zipfile raise for damaged files
_NO_ARRAYS = (
    ValueError,
    EOFError,
    OSError,
    KeyError,
    AttributeError,
    TypeError,
    NotImplementedError,
    BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Frames:
    """Pictures of real and imagined states, and the errors of the imagined ones.

    Attributes:
        steps: that are shown, counted from the start.
        real: the real states.
        names: of the rollouts: orders of the agents, first the one of training; `none` without an order.
        imagined: the imagined states, white where the model does not reach the step.
        error: mean over agents and dimensions of |imagined - real observation|, in its units; NaN where the
            model does not reach the step.
        still: the same error of predicting no change since the start.
        episode: whose policy acted.
        start: the step of the episode at which imagination begins.
        synthetic: the label of synthetic frames.
    """

    steps: Int[np.ndarray, " steps"]
    real: UInt8[np.ndarray, "steps height width 3"]
    names: tuple[str, ...]
    imagined: UInt8[np.ndarray, "rollouts steps height width 3"]
    error: Float[np.ndarray, "rollouts steps"]
    still: Float[np.ndarray, " steps"]
    episode: str
    start: int
    synthetic: str | None

    def shows_what(self, other: Frames) -> bool:
        """Whether both show the same steps of the same episode.

        Pictures differ between drivers, so the errors of predicting no change are compared instead.
        """
        own, others = ((one.episode, one.start, one.steps.tolist()) for one in (self, other))
        return own == others and np.allclose(self.still, other.still, rtol=1e-3)


def read_frames(content: bytes, place: str) -> Frames:
    """The frames in `content`, an npz file that messages call `place`.

    Raises:
        UserError: the file is damaged, lacks an array, or an array has a wrong type, shape or value.
    """
    arrays = _arrays(content, place)
    try:
        _check_forms(arrays)
        names = tuple(map(_name, arrays["names"].tolist()))
        _check_values(arrays, names)
    except ValueError as error:
        raise UserError(f"{place} cannot be used: {error}.") from None
    plain = {name: arrays[name].item() for name in ("episode", "start", "synthetic")}
    return Frames(**{**arrays, **plain, "names": names, "synthetic": plain["synthetic"] or None})


def _arrays(content: bytes, place: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            missing = next((name for name in _FORM if name not in file.files), None)
            if missing is None:
                return {name: file[name] for name in _FORM}
    except _NO_ARRAYS:
        raise UserError(
            f"{place} is no file of arrays, or is not whole: make it again with `dima study frames`."
        ) from None
    raise UserError(f"{place} has no array {missing!r}: it is no study frames.")


def _check_forms(arrays: dict[str, Any]) -> None:
    """Types and shapes. Raises ValueError, as the next one does."""
    sizes: dict[str, int] = {"3": 3}
    for name, (kind, axes) in _FORM.items():
        array = arrays[name]
        found = "str" if array.dtype.kind == "U" else array.dtype.name
        if found != kind:
            raise ValueError(f"{name} holds {found}, not {kind}")
        if array.ndim != len(axes) or 0 in array.shape:
            raise ValueError(f"{name} has the shape {array.shape}")
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"{name} has the shape {array.shape}, which does not fit the other arrays")


def _name(text: str) -> str:
    try:
        return read_order(text)
    except ValueError as error:
        raise ValueError(f"names holds {text!r}, and {error}") from None


def _check_values(arrays: dict[str, Any], names: tuple[str, ...]) -> None:
    if len(set(names)) < len(names):
        raise ValueError("names holds a name twice")
    if arrays["steps"][0] < 1 or (np.diff(arrays["steps"]) <= 0).any():
        raise ValueError(f"steps {arrays['steps'].tolist()} do not grow from 1 up")
    if arrays["start"] < 0:
        raise ValueError(f"start {arrays['start']} is no step of an episode")
    if not arrays["episode"].item():
        raise ValueError("episode does not tell whose policy acted")
    still, error = arrays["still"], arrays["error"]
    if not np.isfinite(still).all() or (still < 0).any():
        raise ValueError("still holds what is no error")
    reached = ~np.isnan(error)
    if np.isinf(error).any() or (error[reached] < 0).any():
        raise ValueError("error holds what is no error")
    if (np.diff(reached.astype(int), axis=1) > 0).any():
        raise ValueError("error has a number after a step that is not reached")
