"""Records of a method whose parameters have changed since."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import ValidationError

from dima.config.cell import CellConfig

OLDER_METHOD: Literal["trained by an older method"] = "trained by an older method"
_METHOD = "parameters"


def older_method(recorded: Any) -> str:
    """Why a recorded configuration is that of an older method, as the rest of a sentence, or empty.

    It is one if the record lacks a parameter that the method has now, or has one that it no longer has. Other
    values of the same method, or what is no configuration at all, do not count.
    """
    try:
        CellConfig.model_validate_json(json.dumps(recorded))
    except ValidationError as error:
        faults = [
            ".".join(_path(fault["loc"]))
            for fault in error.errors()
            if _is_of_method(fault["loc"], fault["type"])
        ]
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        return f"{OLDER_METHOD}, which differs in {faults[0]}{more}" if faults else ""
    return ""


def _is_of_method(place: tuple[int | str, ...], kind: str) -> bool:
    return len(place) > 2 and place[0] == _METHOD and kind in ("missing", "extra_forbidden")


def _path(place: tuple[int | str, ...]) -> list[str]:
    """Without the algorithm, which pydantic puts behind `parameters` to say which model it took."""
    return [str(part) for part in (place[0], *place[2:])]
