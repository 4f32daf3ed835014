"""The files of methods, `workflow/config/methods/<method>.yaml`, and what they say of each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from dima.config import Strict
from dima.config.validation import merge, names_in, refuse_unknown, validate
from dima.config.yaml_file import read_yaml
from dima.errors import UserError

CONFIG_DIR = Path("workflow/config")


class About(Strict):
    """What a method is and can do: a row of `dima methods`."""

    source: str
    licence: str = Field(description="of what is run")
    suites: tuple[str, ...] = Field(default=(), description="that it runs on; none: on all")
    resume: str = Field(description="what a killed cell continues from")
    deviations: str = Field(description="from the paper, or what a variant changes")


class MethodFile(Strict):
    """The content of `workflow/config/methods/<method>.yaml`."""

    extends: str | None = None
    about: dict[str, Any] = Field(default_factory=dict)
    engine: str | None = None
    parameters: dict[str, Any]
    for_suite: dict[str, dict[str, Any]] = Field(default_factory=dict)
    for_task: dict[str, dict[str, Any]] = Field(default_factory=dict)


class MethodSummary(NamedTuple):
    """What the file of a method, and those it extends, say of it."""

    name: str
    extends: str | None
    engine: str
    about: About


def method_summaries(config_dir: Path = CONFIG_DIR) -> list[MethodSummary]:
    """Every method that has a file, those that extend none first. Raises UserError for an invalid file."""
    found = []
    for name in names_in(config_dir / "methods"):
        files = method_files(config_dir, name)
        found.append(MethodSummary(name, files[-1].extends, str(engine_of(files)), about_of(name, files)))
    return sorted(found, key=lambda method: (method.extends is not None, method.name))


def method_files(config_dir: Path, name: str, extended_by: tuple[str, ...] = ()) -> list[MethodFile]:
    """The method's file, after those it extends. Raises UserError for a file that extends itself."""
    if name in extended_by:
        raise UserError(f"methods/{name}.yaml extends itself: {' extends '.join((*extended_by, name))}.")
    refuse_unknown("method", name, names_in(config_dir / "methods"))
    method = validate(MethodFile, read_yaml(config_dir / "methods" / f"{name}.yaml"), f"methods/{name}.yaml")
    for task in method.for_task:
        refuse_unknown(
            "task", task, names_in(config_dir / "tasks"), f" under for_task of methods/{name}.yaml"
        )
    return (
        [method]
        if method.extends is None
        else [*method_files(config_dir, method.extends, (*extended_by, name)), method]
    )


def about_of(name: str, files: list[MethodFile]) -> About:
    """What the method is, by the files that `method_files` gives."""
    return validate(About, merge(*(file.about for file in files)), f"about in methods/{name}.yaml")


def engine_of(files: list[MethodFile]) -> str | None:
    """What runs the method, by the last of its files that says so."""
    return next((file.engine for file in reversed(files) if file.engine), None)
