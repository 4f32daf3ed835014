"""Studies of trained world models, averaged over the seeds of every method of a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd

from dima.analysis.paths import cell_study_path, cells_with_world_model
from dima.analysis.records.files import FileRecords
from dima.analysis.records.load import read_begun
from dima.analysis.returns.statistics import MIN_SEEDS_FOR_INTERVAL, mean_and_bounds
from dima.analysis.studies.files import FORMS, Key, describe, read_study
from dima.analysis.studies.points import Interval, MethodPoints
from dima.config import older_method
from dima.config.grid import CellKey, Grid
from dima.errors import UserError

_COLUMNS = ["seeds", "mean", "low", "high", "interval"]


def assemble(grid: Grid, results_dir: Path, task: str, study: str) -> list[MethodPoints]:
    """One study over the seeds of every method with a world model, in the grid's order.

    Raises:
        UserError: a file cannot be trusted, see `write_studies`.
    """
    cells = cells_with_world_model(grid, task)
    _refuse_others(grid, results_dir, task, study, cells)
    records = FileRecords(results_dir / grid.name / "cells")
    seeds: dict[str, list[CellKey]] = defaultdict(list)
    for key in cells:
        seeds[key.method].append(key)
    assembled = []
    labels: dict[str | None, str] = {}
    for method, keys in seeds.items():
        studied = {
            key: path for key in keys if (path := cell_study_path(grid, results_dir, key, study)).is_file()
        }
        _refuse_older(studied, records)
        files = [read_study(path.read_bytes(), str(path), study) for path in studied.values()]
        labels |= {file.synthetic: file.place for file in files}
        points = points_over_seeds(study, {file.place: file.rows for file in files})
        label = next((file.synthetic for file in files), None)
        assembled.append(MethodPoints(method, len(files), len(keys), points, label))
    if len(labels) > 1:
        raise UserError(
            f"Synthetic studies are never shown together with others: {' and '.join(labels.values())}."
        )
    return assembled


def _refuse_others(grid: Grid, results_dir: Path, task: str, study: str, cells: Iterable[CellKey]) -> None:
    """Refuse a file of a cell that is not in the grid, such as one in a copied folder."""
    known = {cell_study_path(grid, results_dir, key, study) for key in cells}
    for path in sorted((results_dir / grid.name / "cells" / task).glob(f"*/*/studies/{study}.csv")):
        if path not in known:
            raise UserError(
                f"{path} is of no cell with a world model in grid {grid.name}: remove or move it."
            )


def _refuse_older(studied: Mapping[CellKey, Path], records: FileRecords) -> None:
    """Refuse studies of cells that an older version of the method trained."""
    for key, path in studied.items():
        begun = read_begun(key, records)
        older = older_method(begun.config) if begun else ""
        if older:
            raise UserError(f"{path} is of a cell {older}: train it again, or remove the file.")


def points_over_seeds(study: str, files: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The points of a method (see `MethodPoints`), by quantity, the keys in the order of the files.

    Args:
        study: its name.
        files: the rows of each seed (see `read_study`) by the file's name in messages.

    Raises:
        UserError: a file lacks rows of another.
    """
    form = FORMS[study]
    columns = [*form.names, "quantity", *_COLUMNS]
    if not files:
        return pd.DataFrame(columns=columns)
    if study == "calibration":
        files = _with_common_bins(files)
    else:
        _refuse_other_rows(study, files)
    keys = list(dict.fromkeys(key for rows in files.values() for key in rows.index))
    index = pd.MultiIndex.from_tuples(sorted(keys) if study == "calibration" else keys, names=form.names)
    parts = {}
    for quantity in form.quantities:
        values = pd.DataFrame({place: rows[quantity] for place, rows in files.items()}).reindex(index)
        holders = values.notna() @ 2 ** np.arange(len(files))  # bins may be empty in some seeds
        own = [
            _over_seeds(shared.dropna(axis=1), files, form.intervals.get(quantity))
            for _, shared in values.groupby(holders)
        ]
        parts[quantity] = pd.concat(own).reindex(index)
    return pd.concat(parts, names=["quantity"]).reset_index().reindex(columns=columns)


def _over_seeds(
    values: pd.DataFrame, files: Mapping[str, pd.DataFrame], bounds: tuple[str, str] | None
) -> pd.DataFrame:
    """Mean and interval of a quantity, a row a key and a column a seed; `bounds` as in `Form.intervals`."""
    seeds = len(values.columns)
    means, lows, highs = mean_and_bounds(values.to_numpy())
    interval = Interval.BOOTSTRAP if seeds >= MIN_SEEDS_FOR_INTERVAL else Interval.RANGE
    if seeds == 1:
        interval = Interval.CELL if bounds else Interval.NONE
        if bounds:
            cell = files[values.columns[0]].loc[values.index]
            lows, highs = (cell[bound] for bound in bounds)
    return pd.DataFrame(
        {"seeds": seeds, "mean": means, "low": lows, "high": highs, "interval": interval.value}, values.index
    )


def _refuse_other_rows(study: str, files: Mapping[str, pd.DataFrame]) -> None:
    """Refuse files with different rows: all points of a line must average the same seeds."""
    for (whole, rows), (place, others) in product(files.items(), repeat=2):
        missing = rows.index.difference(others.index, sort=False)
        if len(missing):
            words = describe(study, missing[0])
            raise UserError(
                f"{place} does not hold what {whole} holds ({words}): make both again with `dima study`."
            )


def _with_common_bins(files: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Calibrations whose bins can be averaged: fixed bins by their edges, others by their number.

    Edges that follow from the data (equally many steps a bin) differ from seed to seed: bins overlap, or, of
    rewards, no two seeds share one. Bins that are averaged get the mean of their edges.
    """
    renamed: dict[str, dict[Key, Key]] = {place: {} for place in files}
    for kind in dict.fromkeys(str(key[0]) for rows in files.values() for key in rows.index):
        bins = {
            place: sorted((low, high) for name, low, high in rows.index if name == kind)
            for place, rows in files.items()
        }
        distinct = sorted({edges for each in bins.values() for edges in each})
        overlap = any(following[0] < edges[1] for edges, following in pairwise(distinct))
        apart = kind == "reward" and len(distinct) == sum(map(len, bins.values()))
        for place, each in bins.items():
            for number, edges in enumerate(each):
                others = [other[number] for other in bins.values() if number < len(other)]
                together = others if overlap or apart else [edges]
                low, high = np.mean(together, axis=0).tolist()
                renamed[place][kind, *edges] = (kind, low, high)
    return {
        place: rows.set_axis(
            pd.MultiIndex.from_tuples([renamed[place][key] for key in rows.index], names=rows.index.names)
        )
        for place, rows in files.items()
    }
