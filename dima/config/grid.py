"""From YAML to cells: which cells a grid has, and the resolved configuration of each.

A method's parameters are merged from general to particular: all of the file it extends, its own `parameters`,
`for_suite` and `for_task` entries, then the grid's overrides for the method and for the method on the task.
Every merged result is validated as a whole.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from dima.config import CellConfig, NonNegativeInt, Strict, TaskConfig
from dima.config.yaml_file import read_yaml
from dima.errors import UserError

CONFIG_DIR = Path("workflow/config")
Model = TypeVar("Model", bound=BaseModel)


class CellKey(NamedTuple):
    """The name of a cell: what one process computes."""

    task: str
    method: str
    seed: int

    @property
    def folder(self) -> str:
        """Path of the cell below `results/<grid>/cells`."""
        return f"{self.task}/{self.method}/seed-{self.seed}"


class Block(Strict):
    """The product of tasks, methods and seeds."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[NonNegativeInt, ...]


class Overrides(Strict):
    """What a grid changes: task fields, method parameters, and method parameters on one task only."""

    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    cells: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)


class GridFile(Strict):
    """The content of `workflow/config/<grid>.yaml`."""

    experiments: dict[str, tuple[Block, ...]]
    overrides: Overrides = Field(default_factory=Overrides)


class About(Strict):
    """What a method is and can do, for who chooses one: a row of `dima methods`."""

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


class Grid:
    """A grid of cells and the configuration behind it.

    Attributes:
        name: file name without ending, the first folder below `results/`.
        experiments: for each table, its cells in the order of the file.
        cells: all cells, each once.
        config_dir: folder of the grid's file and of its tasks and methods.
    """

    def __init__(self, name: str, content: GridFile, config_dir: Path) -> None:
        self.name = name
        self._content = content
        self.config_dir = config_dir
        self.experiments = {experiment: _expand(blocks) for experiment, blocks in content.experiments.items()}
        self.cells = list(dict.fromkeys(key for keys in self.experiments.values() for key in keys))
        self._known = frozenset(self.cells)
        self._methods: dict[str, list[MethodFile]] = {}
        self._tasks: dict[str, TaskConfig] = {}
        self._refuse_overrides_without_cells()
        self._refuse_mixed_presets()

    def task(self, name: str) -> TaskConfig:
        """The task's configuration with this grid's overrides. Raises UserError for a task without a file."""
        if name not in self._tasks:
            _refuse_unknown("task", name, _names(self.config_dir / "tasks"))
            values = merge({"name": name}, read_yaml(self.config_dir / "tasks" / f"{name}.yaml"))
            values = merge(values, self._content.overrides.tasks.get(name, {}))
            self._tasks[name] = validate(TaskConfig, values, f"task {name}, grid {self.name}")
        return self._tasks[name]

    def require(self, key: CellKey) -> None:
        """Refuse a cell that this grid does not hold, naming what it holds instead. Raises UserError."""
        if key in self._known:
            return
        self.require_task(key.task)
        methods = list(dict.fromkeys(cell.method for cell in self.cells if cell.task == key.task))
        _refuse_unknown("method", key.method, methods, f" for {key.task} in grid {self.name}")
        seeds = [str(cell.seed) for cell in self.cells if cell[:2] == key[:2]]
        _refuse_unknown("seed", str(key.seed), seeds, f" for {key.task}/{key.method} in grid {self.name}")

    def require_task(self, name: str) -> None:
        """Refuse a task that this grid has no cell of, naming those it has. Raises UserError."""
        _refuse_unknown("task", name, sorted({cell.task for cell in self.cells}), f" in grid {self.name}")

    def resolve(self, key: CellKey) -> CellConfig:
        """The whole configuration of one cell.

        Raises UserError naming the key path of anything unknown or of a wrong type.
        """
        self.require(key)
        task = self.task(key.task)
        if key.method not in self._methods:
            self._methods[key.method] = _method_files(self.config_dir, key.method)
            self._refuse_unknown_suites(key.method)
        files = self._methods[key.method]
        suites = _about(key.method, files).suites
        if suites and task.suite not in suites:
            raise UserError(
                f"Method {key.method} does not run on {key.task} of suite {task.suite}; it runs on {', '.join(suites)}."
            )
        overrides = self._content.overrides
        layers = (
            (file.parameters, file.for_suite.get(task.suite, {}), file.for_task.get(task.name, {}))
            for file in files
        )
        parameters = merge(*(layer for three in layers for layer in three))
        parameters = merge(
            parameters,
            overrides.methods.get(key.method, {}),
            overrides.cells.get(key.task, {}).get(key.method, {}),
        )
        values = {
            "grid": self.name,
            "task": task.model_dump(mode="json"),
            "method": key.method,
            "engine": _engine(files),
            "seed": key.seed,
            "parameters": parameters,
        }
        return validate(CellConfig, values, f"method {key.method} on {key.task}, grid {self.name}")

    def engine(self, method: str) -> str | None:
        """What runs the method, None for one without a file or that does not say."""
        return _engine(_method_files(self.config_dir, method)) if self.has_method(method) else None

    def about(self, method: str) -> About | None:
        """What the method is, None for one without a file.

        Raises UserError for a file that is not in order.
        """
        return _about(method, _method_files(self.config_dir, method)) if self.has_method(method) else None

    def has_method(self, name: str) -> bool:
        """Whether the method has a configuration file, that is, exists."""
        return name in _names(self.config_dir / "methods")

    def _refuse_overrides_without_cells(self) -> None:
        """An override that no cell reads is a misspelling: say so instead of running without it."""
        tasks = sorted({cell.task for cell in self.cells})
        methods = sorted({cell.method for cell in self.cells})
        place = f" under overrides of grid {self.name}"
        for task in [*self._content.overrides.tasks, *self._content.overrides.cells]:
            _refuse_unknown("task", task, tasks, place)
        for method in [
            *self._content.overrides.methods,
            *(name for cell in self._content.overrides.cells.values() for name in cell),
        ]:
            _refuse_unknown("method", method, methods, place)

    def _refuse_unknown_suites(self, method: str) -> None:
        """A suite is known if a task file names it."""
        known = sorted({self.task(name).suite for name in _names(self.config_dir / "tasks")})
        for file in self._methods[method]:
            for suite in (*file.for_suite, *file.about.get("suites", ())):
                _refuse_unknown("suite", suite, known, f" in the file of method {method}")

    def _refuse_mixed_presets(self) -> None:
        """One suite is one table, and one table holds one reading of the suite's tasks."""
        known = [
            self.task(name)
            for name in sorted({cell.task for cell in self.cells})
            if name in _names(self.config_dir / "tasks")
        ]
        for suite in dict.fromkeys(task.suite for task in known):
            names = {(task.preset, task.simulator): task.name for task in known if task.suite == suite}
            if len(names) > 1:
                found = ", ".join(
                    f"{name} has preset {preset} in {simulator}"
                    for (preset, simulator), name in names.items()
                )
                raise UserError(f"Grid {self.name} mixes what one table of {suite} must not mix: {found}.")


class MethodSummary(NamedTuple):
    """A method as its file, and those it extends, tell it."""

    name: str
    extends: str | None
    engine: str
    about: About


def method_summaries(config_dir: Path = CONFIG_DIR) -> list[MethodSummary]:
    """Every method that has a file, those that extend none first.

    Raises UserError for a file that is not in order.
    """
    found = []
    for name in _names(config_dir / "methods"):
        files = _method_files(config_dir, name)
        found.append(MethodSummary(name, files[-1].extends, str(_engine(files)), _about(name, files)))
    return sorted(found, key=lambda method: (method.extends is not None, method.name))


def load_grid(name: str, config_dir: Path = CONFIG_DIR) -> Grid:
    """The grid `name`, read from `<config_dir>/<name>.yaml`.

    Raises UserError for anything that is not in order.
    """
    if not config_dir.is_dir():
        raise UserError(f"There is no folder {config_dir}: run this from the repository's root.")
    _refuse_unknown("grid", name, _names(config_dir))
    return Grid(name, validate(GridFile, read_yaml(config_dir / f"{name}.yaml"), f"{name}.yaml"), config_dir)


def plain_grid(
    tasks: Iterable[str], methods: Iterable[str], seeds: Iterable[int] = (1,), config_dir: Path = CONFIG_DIR
) -> Grid:
    """Cells as the files of their tasks and methods have them, without any grid's changes."""
    block = Block(tasks=tuple(tasks), methods=tuple(methods), seeds=tuple(seeds))
    return Grid("plain", GridFile(experiments={"cells": (block,)}), config_dir)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged from left to right; anything that is not a mapping replaces what stood there."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


def validate(model: type[Model], values: Mapping[str, Any], place: str) -> Model:
    """`values` as a `model`. Raises UserError.

    One sentence with the path of the first fault and, for an unknown key, the choices.
    """
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        # a misspelt key is both unknown and missing: the unknown one says what to mend
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise UserError(_sentence(model, first, place)) from None
    except TypeError as error:
        raise UserError(f"A value cannot be used ({place}): {error}.") from None


def _sentence(model: type[BaseModel], fault: ErrorDetails, place: str) -> str:
    path, siblings = _locate(model, fault["loc"])
    name = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return f"Unknown configuration key {name!r} ({place}){_nearest(path[-1], siblings)}; the keys there are {', '.join(siblings)}."
    if fault["type"] == "missing":
        return f"The configuration key {name!r} is missing ({place})."
    if fault["type"] == "value_error":  # what several values of one part do to one another
        return f"The configuration{f' of {name!r}' if name else ''} cannot be used ({place}): {fault['msg'].removeprefix('Value error, ')}."
    return f"The configuration value {name!r} = {fault['input']!r} cannot be used ({place}): {fault['msg'][0].lower()}{fault['msg'][1:]}."


def _locate(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """Pydantic's error location as the path in the file, and the keys that stand beside the last one.

    Pydantic inserts the tag of a discriminated union (the value of `algorithm`) into the location; it is no
    key of the file.
    """
    path: list[str] = []
    current: list[type[BaseModel]] = [model]
    siblings: list[str] = []
    for part in map(str, location):
        if (
            not current
        ):  # a value has been reached; what follows are pydantic's names for the kinds it could have had
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


def _expand(blocks: Iterable[Block]) -> list[CellKey]:
    cells = (
        CellKey(task, method, seed)
        for block in blocks
        for task in block.tasks
        for method in block.methods
        for seed in block.seeds
    )
    return list(dict.fromkeys(cells))


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _method_files(config_dir: Path, name: str, extended_by: tuple[str, ...] = ()) -> list[MethodFile]:
    """The method's file, after those it extends.

    Raises UserError where a file extends itself, even by way of others.
    """
    if name in extended_by:
        raise UserError(f"methods/{name}.yaml extends itself: {' extends '.join((*extended_by, name))}.")
    _refuse_unknown("method", name, _names(config_dir / "methods"))
    method = validate(MethodFile, read_yaml(config_dir / "methods" / f"{name}.yaml"), f"methods/{name}.yaml")
    for task in method.for_task:
        _refuse_unknown("task", task, _names(config_dir / "tasks"), f" under for_task of methods/{name}.yaml")
    return (
        [method]
        if method.extends is None
        else [*_method_files(config_dir, method.extends, (*extended_by, name)), method]
    )


def _about(name: str, files: list[MethodFile]) -> About:
    return validate(About, merge(*(file.about for file in files)), f"about in methods/{name}.yaml")


def _engine(files: list[MethodFile]) -> str | None:
    return next((file.engine for file in reversed(files) if file.engine), None)


def _refuse_unknown(what: str, name: str, choices: Iterable[str], where: str = "") -> None:
    choices = list(choices)
    if name not in choices:
        raise UserError(
            f"Unknown {what} {name!r}{where}{_nearest(name, choices)}; choose from {', '.join(choices) or 'nothing'}."
        )


def _nearest(name: str, choices: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(choices), n=1)
    return f", perhaps {match[0]!r}" if match else ""
