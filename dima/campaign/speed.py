"""How long cells take by speeds measured elsewhere, for grids that have no record of their own yet.

`workflow/reference/speed.yaml`.

An epoch learns equally long however few environment steps it has, so a cell's time follows from its epochs,
and those from the length of its task's episodes: epochs x (seconds of learning) + environment steps x
(seconds of a step). Where that length varies, times are ranges.
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
"""In a row: of a method as its file has it, with no grid's changes; the preset of computing is another
matter."""


class Speed(Strict):
    """One row: how fast a method learned on one device."""

    grid: str
    task: str
    method: str
    compute: Compute = Field(description="preset of computing")
    device: Literal["GPU", "CPU"]
    hardware: str = Field(description="the card's name, or the processor's as records have it")
    epoch_seconds: PositiveFloat = Field(
        description="learning; all of an epoch where thousand_steps_seconds is null"
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
    """What a cell takes by a row of the table.

    Attributes:
        epochs: of the cell.
        seconds: of the cell.
        speed: the row.
    """

    epochs: Range
    seconds: Range
    speed: Speed


def read_speeds(reference_dir: Path = REFERENCE_DIR) -> SpeedTable:
    """The table. Raises UserError where it is absent or not in order."""
    return validate(SpeedTable, read_yaml(reference_dir / "speed.yaml"), "speed.yaml")


def epochs_of(config: CellConfig, episode_steps: tuple[int, int]) -> Range:
    """From how many epochs to how many a cell has, whether its episodes are as long as the longest or as
    short as the shortest.

    The first epoch is the warm-up. HARL's methods have a fixed number of environment steps in each epoch.

    Raises:
        UserError: the method has no epochs that could be counted.
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
    """What cells of a grid take by the table.

    Args:
        grid: of the cells.
        table: of speeds; by default the repository's.
    """

    def __init__(self, grid: Grid, table: SpeedTable | None = None) -> None:
        self._grid = grid
        self._table = table or read_speeds()
        methods = dict.fromkeys(
            speed.method
            for speed in self._table.speeds
            if speed.grid == PAPER and grid.has_method(speed.method)
        )
        self._plain = plain_grid(
            dict.fromkeys(key.task for key in grid.cells), methods, config_dir=grid.config_dir
        )
        self._suiting: dict[tuple[str, str], list[Speed]] = {}  # by task and method: seeds differ in nothing

    def expected(self, key: CellKey) -> Expected | None:
        """By the row that suits the cell best; None where none does.

        A row suits the cells of its own grid, and those of others that have the parameters of its method's
        file, whatever their preset of computing. Best is a row of a GPU, before one of a CPU; of the cell's
        preset, before another; of the task itself, before another of the suite.
        """
        rows, compute = self.rows(key), self._grid.resolve(key).compute
        best = min(
            rows,
            key=lambda speed: (speed.device != "GPU", speed.compute != compute, speed.task != key.task),
            default=None,
        )
        return best and self.expected_by(best, key)

    def expected_by(self, speed: Speed, key: CellKey) -> Expected | None:
        """By one row that suits the cell; None where nothing tells how long the task's episodes are."""
        if key.task not in self._table.episode_steps:
            return None
        config = self._grid.resolve(key)
        epochs = epochs_of(config, self._table.episode_steps[key.task])
        steps = config.task.env_steps / 1000 * (speed.thousand_steps_seconds or 0.0)
        return Expected(epochs, Range(*(count * speed.epoch_seconds + steps for count in epochs)), speed)

    def gigabytes(self, key: CellKey) -> float | None:
        """GPU memory that a cell holds, the most that was measured of its method and preset.

        None where nothing was.
        """
        compute = self._grid.resolve(key).compute
        return max(
            (speed.gigabytes for speed in self.rows(key) if speed.gigabytes and speed.compute == compute),
            default=None,
        )

    def rows(self, key: CellKey) -> list[Speed]:
        """The rows that suit a cell."""
        if key[:2] not in self._suiting:
            config = self._grid.resolve(key)
            self._suiting[key[:2]] = [speed for speed in self._table.speeds if self._suits(speed, config)]
        return self._suiting[key[:2]]

    def _suits(self, speed: Speed, config: CellConfig) -> bool:
        if self._suite_of(speed.task) != config.task.suite:
            return False
        if speed.grid != PAPER:
            return (speed.grid, speed.method) == (self._grid.name, config.method)
        if not self._grid.has_method(speed.method):
            return False
        return _without_preset(
            self._plain.resolve(CellKey(config.task.name, speed.method, 1))
        ) == _without_preset(config)

    def _suite_of(self, task: str) -> str | None:
        """None of a task that this grid's folder does not have."""
        try:
            return self._grid.task(task).suite
        except UserError:
            return None


def _without_preset(config: CellConfig) -> dict[str, object]:
    """The parameters but for the preset of computing."""
    return config.parameters.model_dump(exclude={"compute"})
