"""The time of cells by speeds measured elsewhere (`workflow/reference/speed.yaml`), without records.

Learning takes the same time in every epoch, whatever its environment steps: a cell takes epochs x (seconds of
learning) + environment steps x (seconds of a step). The number of epochs depends on the length of episodes;
where that varies, times are ranges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from dima.analysis.reference import REFERENCE_DIR
from dima.config import (
    CellConfig,
    CollectionConfig,
    Compute,
    HarlOffPolicySettings,
    HarlOnPolicySettings,
    Strict,
)
from dima.config.base import Count, NonNegativeFloat, PositiveFloat
from dima.config.grid import CellKey, Grid, plain_grid, validate
from dima.config.yaml_file import read_yaml
from dima.errors import UserError

PAPER = "paper"
"""The grid of rows for methods as in their files, with any preset of computing."""


class Speed(Strict):
    """One row: the speed of a method on one device."""

    grid: str
    task: str
    method: str
    compute: Compute = Field(description="preset of computing")
    device: Literal["GPU", "CPU"]
    hardware: str = Field(description="the card's name, or the processor's as records have it")
    epoch_seconds: PositiveFloat = Field(
        description="learning; the whole epoch where thousand_steps_seconds is null"
    )
    thousand_steps_seconds: NonNegativeFloat | None = Field(
        description="of 1,000 environment steps without learning"
    )
    gigabytes: PositiveFloat | None = Field(description="of GPU memory")
    of: Literal["cells", "epochs", "updates"] = Field(description="what was timed")
    source: str


class SpeedTable(Strict):
    """The content of `speed.yaml`."""

    episode_steps: dict[str, tuple[Count, Count]] = Field(
        description="shortest and longest episode of each task"
    )
    speeds: tuple[Speed, ...]


class Range(NamedTuple):
    """From the least to the most."""

    least: float
    most: float

    def text(self, form: Callable[[float], str]) -> str:
        """`7.2`, or `65 to 1,300`, each as `form` writes a number."""
        least, most = map(form, self)
        return least if least == most else f"{least} to {most}"


class Expected(NamedTuple):
    """The epochs and seconds of a cell by a row of the table."""

    epochs: Range
    seconds: Range
    speed: Speed


def read_speeds(reference_dir: Path = REFERENCE_DIR) -> SpeedTable:
    """The table. Raises UserError if it is missing or malformed."""
    return validate(SpeedTable, read_yaml(reference_dir / "speed.yaml"), "speed.yaml")


def epochs_of(config: CellConfig, episode_steps: tuple[int, int]) -> Range:
    """The number of epochs of a cell, the warm-up included, for the longest and the shortest episodes.

    HARL's methods have a fixed number of environment steps in each epoch.

    Raises:
        UserError: the method is another checkout's program, whose epochs are unknown.
    """
    parameters, budget = config.parameters, config.task.env_steps
    if isinstance(parameters, HarlOnPolicySettings):
        return Range(*[math.ceil(budget / (parameters.rollout_threads * parameters.episode_length))] * 2)
    if isinstance(parameters, HarlOffPolicySettings):
        each, warmup = parameters.rollout_threads * parameters.train_interval, parameters.warmup_steps
        return Range(*[(warmup > 0) + math.ceil((budget - warmup) / each)] * 2)
    schedule = getattr(parameters, "schedule", None)
    if not isinstance(schedule, CollectionConfig):
        raise UserError(f"Epochs of {config.method} cannot be counted: another checkout's program runs it.")
    return Range(*sorted(_collected_epochs(schedule, budget, length) for length in episode_steps))


def _collected_epochs(schedule: CollectionConfig, budget: int, length: int) -> int:
    """Epochs of a budget whose episodes all have `length` steps."""
    length = length if schedule.epoch_trigger == "episode_end" else 1
    each, first = (
        length * math.ceil(steps / length) for steps in (schedule.min_new_steps, schedule.warmup_steps)
    )
    return 1 + max(0, math.ceil((budget - max(each, first)) / each))


class Speeds:
    """The cost of a grid's cells by the table, by default the repository's."""

    def __init__(self, grid: Grid, table: SpeedTable | None = None) -> None:
        self._grid = grid
        self._table = table or read_speeds()
        named = dict.fromkeys(speed.method for speed in self._table.speeds if speed.grid == PAPER)
        methods = [method for method in named if grid.has_method(method)]
        tasks = dict.fromkeys(key.task for key in grid.cells)
        self._plain = plain_grid(tasks, methods, config_dir=grid.config_dir)
        self._fitting: dict[tuple[str, str], list[Speed]] = {}  # by task and method: seeds differ in nothing

    def expected(self, key: CellKey) -> Expected | None:
        """By the row that fits the cell best, None if none does.

        A row fits the cells of its own grid, and cells of others with the parameters of its method's file and
        any preset of computing. A GPU's row comes first, then the cell's own preset, then its own task.
        """
        compute = self._grid.resolve(key).compute

        def distance(speed: Speed) -> tuple[bool, bool, bool]:
            return speed.device != "GPU", speed.compute != compute, speed.task != key.task

        best = min(self.rows(key), key=distance, default=None)
        return best and self.expected_by(best, key)

    def expected_by(self, speed: Speed, key: CellKey) -> Expected | None:
        """By one row that fits the cell, None if the length of the task's episodes is unknown."""
        if key.task not in self._table.episode_steps:
            return None
        config = self._grid.resolve(key)
        epochs = epochs_of(config, self._table.episode_steps[key.task])
        steps = config.task.env_steps / 1000 * (speed.thousand_steps_seconds or 0.0)
        return Expected(epochs, Range(*(count * speed.epoch_seconds + steps for count in epochs)), speed)

    def gigabytes(self, key: CellKey) -> float | None:
        """The most GPU memory measured of a cell's method and preset, None if it was not measured."""
        compute = self._grid.resolve(key).compute
        own = (speed for speed in self.rows(key) if speed.compute == compute)
        return max((speed.gigabytes for speed in own if speed.gigabytes), default=None)

    def rows(self, key: CellKey) -> list[Speed]:
        """The rows that fit a cell."""
        if key[:2] not in self._fitting:
            config = self._grid.resolve(key)
            self._fitting[key[:2]] = [speed for speed in self._table.speeds if self._fits(speed, config)]
        return self._fitting[key[:2]]

    def _fits(self, speed: Speed, config: CellConfig) -> bool:
        if self._suite_of(speed.task) != config.task.suite:
            return False
        if speed.grid != PAPER:
            return (speed.grid, speed.method) == (self._grid.name, config.method)
        if not self._grid.has_method(speed.method):
            return False
        plain = self._plain.resolve(CellKey(config.task.name, speed.method, 1))
        return _without_preset(plain) == _without_preset(config)

    def _suite_of(self, task: str) -> str | None:
        """None for a task that this grid's folder does not have."""
        try:
            return self._grid.task(task).suite
        except UserError:
            return None


def _without_preset(config: CellConfig) -> dict[str, object]:
    """The parameters without the preset of computing."""
    return config.parameters.model_dump(exclude={"compute"})
