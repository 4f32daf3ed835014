"""Merging and validating values of configuration files; an error is one sentence with the choices."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dima.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged from left to right; any other value replaces the earlier one."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


def validate(model: type[Model], values: Mapping[str, Any], place: str) -> Model:
    """`values` as a `model`. Raises UserError with the path of the first fault and the choices there."""
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        # a misspelt key is both unknown and missing: the unknown one says what to correct
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise UserError(_sentence(model, first, place)) from None
    except TypeError as error:
        raise UserError(f"A value cannot be used ({place}): {error}.") from None


def refuse_unknown(what: str, name: str, choices: Iterable[str], where: str = "") -> None:
    """Raise UserError where the name is none of the choices."""
    choices = list(choices)
    if name not in choices:
        known = ", ".join(choices) or "nothing"
        raise UserError(f"Unknown {what} {name!r}{where}{_nearest(name, choices)}; choose from {known}.")


def names_in(folder: Path) -> tuple[str, ...]:
    """The names of the YAML files in the folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _sentence(model: type[BaseModel], fault: ErrorDetails, place: str) -> str:
    path, siblings = _locate(model, fault["loc"])
    name = ".".join(path)
    if fault["type"] == "extra_forbidden":
        nearest, keys = _nearest(path[-1], siblings), ", ".join(siblings)
        return f"Unknown configuration key {name!r} ({place}){nearest}; the keys there are {keys}."
    if fault["type"] == "missing":
        return f"The configuration key {name!r} is missing ({place})."
    if fault["type"] == "value_error":  # raised by a check of several values together
        of, reason = f" of {name!r}" if name else "", fault["msg"].removeprefix("Value error, ")
        return f"The configuration{of} cannot be used ({place}): {reason}."
    reason = f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
    return f"The configuration value {name!r} = {fault['input']!r} cannot be used ({place}): {reason}."


def _locate(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """Pydantic's error location as the path in the file, and all keys of the mapping that the last one is in.

    Pydantic inserts the tag of a discriminated union (the value of `algorithm`) into the location; it is no
    key of the file.
    """
    path: list[str] = []
    current: list[type[BaseModel]] = [model]
    siblings: list[str] = []
    for part in map(str, location):
        if not current:  # a value: what follows are pydantic's names for the types it could have had
            break
        tagged = [candidate for candidate in current if len(current) > 1 and part in _tags(candidate)]
        if tagged:
            current = tagged
            continue
        path.append(part)
        siblings = [field for candidate in current for field in candidate.model_fields]
        if part in siblings:  # otherwise an index or a key of a container, or the unknown key itself
            fields = [
                candidate.model_fields[part].annotation
                for candidate in current
                if part in candidate.model_fields
            ]
            current = [kind for field in fields for kind in _models_in(field)]
    return path, siblings


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("algorithm")
    return get_args(field.annotation) if field else ()


def _nearest(name: str, choices: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(choices), n=1)
    return f", perhaps {match[0]!r}" if match else ""
