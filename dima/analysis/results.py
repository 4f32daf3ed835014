"""What the records of a grid show, computed once for its tables, figures and report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from dima.analysis.paths import return_experiments, return_tables
from dima.analysis.records.files import FileRecords, Records
from dima.analysis.records.load import CellRecord, load_cells
from dima.analysis.returns.rows import Row, build_rows, final_rows
from dima.analysis.returns.sample_efficiency import Efficiency, measure_efficiency
from dima.analysis.returns.suite_summary import Summary, summarize_suites
from dima.analysis.studies.pictured_cells import OrderedMethod, PicturedCell, ordered_methods, pictured_cells
from dima.analysis.studies.prediction import PredictionRow, prediction_rows
from dima.config.grid import CellKey, Grid


class GridResults:
    """What the records of a grid show. Each part is computed when it is first asked for.

    Every part raises UserError where a record or a study cannot be trusted (see `load_cells`,
    `read_study`, `read_frames`), or where the paper's numbers are missing.

    Args:
        grid: of the cells.
        source: their records, or the folder that holds `<grid>/cells`.
        config_hashes: the current configuration's hash by cell; records with another one are stale and
            averaged nowhere.
    """

    def __init__(
        self, grid: Grid, source: Path | Records, config_hashes: Mapping[CellKey, str] | None = None
    ) -> None:
        self.grid, self.config_hashes = grid, config_hashes or {}
        self._records = FileRecords(source / grid.name / "cells") if isinstance(source, Path) else source
        self._rows: dict[str, list[Row]] = {}

    @cached_property
    def cells(self) -> list[CellRecord]:
        """The record of every cell."""
        return load_cells(self.grid, self.grid.cells, self._records, self.config_hashes)

    def rows(self, experiment: str) -> list[Row]:
        """The returns of an experiment."""
        if experiment not in self._rows:
            self._rows[experiment] = build_rows(self.grid, experiment, self._records, self.config_hashes)
        return self._rows[experiment]

    @cached_property
    def ends(self) -> list[Row]:
        """The returns of every experiment at the end of the budget, a row a task and method."""
        return self._ends(return_experiments(self.grid))

    @cached_property
    def summaries(self) -> list[Summary]:
        """Scores over the tasks of a suite, of the experiments with a table."""
        return summarize_suites(self.grid, self._ends(return_tables(self.grid)))

    @cached_property
    def efficiencies(self) -> list[Efficiency]:
        """The sample-efficiency, of the experiments with a table."""
        return measure_efficiency(self._ends(return_tables(self.grid)))

    @cached_property
    def predictions(self) -> list[PredictionRow]:
        """The prediction errors of the world models."""
        return prediction_rows(self.grid, self._records, self.config_hashes)

    @cached_property
    def pictured_cells(self) -> list[PicturedCell]:
        """The cells whose imagination is drawn."""
        return pictured_cells(self.grid, self._records, self.config_hashes)

    @cached_property
    def ordered_methods(self) -> list[OrderedMethod]:
        """The methods that are drawn under every order of the agents."""
        return ordered_methods(self.grid, self._records, self.config_hashes)

    def _ends(self, experiments: Iterable[str]) -> list[Row]:
        return final_rows(self.grid, {name: self.rows(name) for name in experiments})
