"""Reading the YAML of this project.

Safe, without duplicate keys, and with `1e-4` read as the number it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from dima.errors import UserError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; refuses a key given twice, which plain YAML loaders silently let win."""


def _mapping_without_duplicates(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice", node.start_mark
            )
    return {
        key: loader.construct_object(value, deep=True)
        for key, (_, value) in zip(keys, node.value, strict=True)
    }


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in `path`.

    Raises:
        UserError: the file is absent, is not YAML, gives a key twice, or does not hold a mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"There is no configuration file {path}.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values.")
    return content


def parse_yaml(text: str, place: str) -> Any:
    """The value of a YAML text. Raises UserError, which names `place`, if it is not YAML."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"{place} cannot be read as YAML: {' '.join(str(error).split())}.") from None
