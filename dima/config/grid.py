"""Grids: from YAML to cells and the resolved configuration of each.

A method's parameters are merged from general to particular: all of the file it extends, its own `parameters`,
`for_suite` and `for_task` entries, then the grid's overrides for the method and for the method on the task.
Every merged result is validated as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from dima.config import CellConfig, NonNegativeInt, Strict, TaskConfig
from dima.config.method_files import CONFIG_DIR, About, MethodFile, about_of, engine_of, method_files
from dima.config.validation import merge, names_in, refuse_unknown, validate
from dima.config.yaml_file import read_yaml
from dima.errors import UserError


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
            refuse_unknown("task", name, names_in(self.config_dir / "tasks"))
            values = merge({"name": name}, read_yaml(self.config_dir / "tasks" / f"{name}.yaml"))
            values = merge(values, self._content.overrides.tasks.get(name, {}))
            self._tasks[name] = validate(TaskConfig, values, f"task {name}, grid {self.name}")
        return self._tasks[name]

    def require(self, key: CellKey) -> None:
        """Raise UserError, with the choices, for a cell that is not in this grid."""
        if key in self._known:
            return
        self.require_task(key.task)
        methods = list(dict.fromkeys(cell.method for cell in self.cells if cell.task == key.task))
        refuse_unknown("method", key.method, methods, f" for {key.task} in grid {self.name}")
        seeds = [str(cell.seed) for cell in self.cells if cell[:2] == key[:2]]
        refuse_unknown("seed", str(key.seed), seeds, f" for {key.task}/{key.method} in grid {self.name}")

    def require_task(self, name: str) -> None:
        """Raise UserError, with the choices, for a task that this grid has no cell of."""
        refuse_unknown("task", name, sorted({cell.task for cell in self.cells}), f" in grid {self.name}")

    def resolve(self, key: CellKey) -> CellConfig:
        """The whole configuration of one cell. Raises UserError with the path of the first fault."""
        self.require(key)
        task = self.task(key.task)
        if key.method not in self._methods:
            self._methods[key.method] = method_files(self.config_dir, key.method)
            self._refuse_unknown_suites(key.method)
        files = self._methods[key.method]
        suites = about_of(key.method, files).suites
        if suites and task.suite not in suites:
            known = ", ".join(suites)
            raise UserError(
                f"Method {key.method} does not run on {key.task} of suite {task.suite}; it runs on {known}."
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
            "engine": engine_of(files),
            "seed": key.seed,
            "parameters": parameters,
        }
        return validate(CellConfig, values, f"method {key.method} on {key.task}, grid {self.name}")

    def engine(self, method: str) -> str | None:
        """What runs the method, None where no file says it."""
        return engine_of(method_files(self.config_dir, method)) if self.has_method(method) else None

    def about(self, method: str) -> About | None:
        """What the method is, None for one without a file. Raises UserError for an invalid file."""
        return about_of(method, method_files(self.config_dir, method)) if self.has_method(method) else None

    def has_method(self, name: str) -> bool:
        """Whether the method has a configuration file."""
        return name in names_in(self.config_dir / "methods")

    def _refuse_overrides_without_cells(self) -> None:
        """Refuse an override that no cell reads: it is misspelt."""
        tasks = sorted({cell.task for cell in self.cells})
        methods = sorted({cell.method for cell in self.cells})
        place = f" under overrides of grid {self.name}"
        for task in [*self._content.overrides.tasks, *self._content.overrides.cells]:
            refuse_unknown("task", task, tasks, place)
        for method in [
            *self._content.overrides.methods,
            *(name for cell in self._content.overrides.cells.values() for name in cell),
        ]:
            refuse_unknown("method", method, methods, place)

    def _refuse_unknown_suites(self, method: str) -> None:
        """A suite is known if a task file names it."""
        known = sorted({self.task(name).suite for name in names_in(self.config_dir / "tasks")})
        for file in self._methods[method]:
            for suite in (*file.for_suite, *file.about.get("suites", ())):
                refuse_unknown("suite", suite, known, f" in the file of method {method}")

    def _refuse_mixed_presets(self) -> None:
        """Refuse two presets or simulators in one suite, whose tasks share a table."""
        known = [
            self.task(name)
            for name in sorted({cell.task for cell in self.cells})
            if name in names_in(self.config_dir / "tasks")
        ]
        for suite in dict.fromkeys(task.suite for task in known):
            names = {(task.preset, task.simulator): task.name for task in known if task.suite == suite}
            if len(names) > 1:
                found = ", ".join(
                    f"{name} has preset {preset} in {simulator}"
                    for (preset, simulator), name in names.items()
                )
                raise UserError(f"Grid {self.name} mixes what one table of {suite} must not mix: {found}.")


def load_grid(name: str, config_dir: Path = CONFIG_DIR) -> Grid:
    """The grid `name`, read from `<config_dir>/<name>.yaml`. Raises UserError for an invalid file."""
    if not config_dir.is_dir():
        raise UserError(f"There is no folder {config_dir}: run this from the repository's root.")
    refuse_unknown("grid", name, names_in(config_dir))
    return Grid(name, validate(GridFile, read_yaml(config_dir / f"{name}.yaml"), f"{name}.yaml"), config_dir)


def plain_grid(
    tasks: Iterable[str], methods: Iterable[str], seeds: Iterable[int] = (1,), config_dir: Path = CONFIG_DIR
) -> Grid:
    """Cells as the files of their tasks and methods define them, without a grid's overrides."""
    block = Block(tasks=tuple(tasks), methods=tuple(methods), seeds=tuple(seeds))
    return Grid("plain", GridFile(experiments={"cells": (block,)}), config_dir)


def _expand(blocks: Iterable[Block]) -> list[CellKey]:
    cells = (
        CellKey(task, method, seed)
        for block in blocks
        for task in block.tasks
        for method in block.methods
        for seed in block.seeds
    )
    return list(dict.fromkeys(cells))
