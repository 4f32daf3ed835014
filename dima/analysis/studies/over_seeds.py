"""Studies of trained world models, assembled over the seeds of every method of a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dima.analysis.paths import cell_study_path, cells_with_world_model
from dima.analysis.records.files import FileRecords
from dima.analysis.records.load import read_begun
from dima.analysis.returns.statistics import MIN_SEEDS_FOR_INTERVAL, bootstrap_interval
from dima.analysis.studies.files import FORMS, Key, Rows, describe, read_study
from dima.analysis.studies.points import Interval, MethodPoints, Point
from dima.config import older_method
from dima.errors import UserError
from dima.grid import CellKey, Grid

_ROWS_AT_ONCE = 256
"""Resampling a few thousand rows together would take gigabytes."""


def assemble(grid: Grid, results_dir: Path, task: str, study: str) -> list[MethodPoints]:
    """The numbers of one study over the seeds, a method after the other as the grid has them, also those without a file.

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
    labels: dict[str | None, Path] = {}
    for method, keys in seeds.items():
        studied = {key: path for key in keys if (path := cell_study_path(grid, results_dir, key, study)).is_file()}
        _refuse_older(studied, records)
        paths = list(studied.values())
        files = {path: read_study(path.read_bytes(), str(path), study) for path in paths}
        labels |= {file.synthetic: path for path, file in files.items()}
        points = points_over_seeds(study, {str(path): file.rows for path, file in files.items()})
        assembled.append(MethodPoints(method, len(paths), len(keys), points, next((file.synthetic for file in files.values()), None)))
    if len(labels) > 1:
        raise UserError(f"Synthetic studies are never shown together with others: {' and '.join(map(str, labels.values()))}.")
    return assembled


def _refuse_others(grid: Grid, results_dir: Path, task: str, study: str, cells: Iterable[CellKey]) -> None:
    """A copied folder or one of another grid would be passed over without a word; rather say so."""
    known = {cell_study_path(grid, results_dir, key, study) for key in cells}
    for path in sorted((results_dir / grid.name / "cells" / task).glob(f"*/*/studies/{study}.csv")):
        if path not in known:
            raise UserError(f"{path} is of no cell with a world model in grid {grid.name}: remove or move it.")


def _refuse_older(studied: Mapping[CellKey, Path], records: FileRecords) -> None:
    """What an older method learned is not averaged with what the method learns now."""
    for key, path in studied.items():
        begun = read_begun(key, records)
        older = older_method(begun.config) if begun else ""
        if older:
            raise UserError(f"{path} is of a cell {older}: train it again, or remove the file.")


def points_over_seeds(study: str, files: Mapping[str, Rows]) -> list[Point]:
    """One point a key and quantity, in the order of the files, a seed each, which messages call as the keys do.

    Raises:
        UserError: one does not hold the rows of another.
    """
    if study == "calibration":
        files = _with_common_bins(files)
    else:
        _refuse_other_rows(study, files)
    keys = list(dict.fromkeys(key for rows in files.values() for key in rows))
    if study == "calibration":
        keys.sort()
    holders: dict[tuple[str, ...], list[Key]] = defaultdict(list)  # bins may be empty in some seeds
    for key in keys:
        holders[tuple(path for path, rows in files.items() if key in rows)].append(key)
    points = {
        (tuple(point.key.values()), point.quantity): point
        for paths, shared in holders.items()
        for quantity in FORMS[study].quantities
        for point in _over_seeds(study, quantity, shared, [files[path] for path in paths])
    }
    return [points[key, quantity] for quantity in FORMS[study].quantities for key in keys]


def _over_seeds(study: str, quantity: str, keys: list[Key], seeds: list[Rows]) -> list[Point]:
    """Mean and interval of a quantity at keys that all these seeds have."""
    form = FORMS[study]
    names = dict(zip(("low", "high"), form.intervals.get(quantity, ()), strict=False))
    values = np.array([[rows[key][quantity] for rows in seeds] for key in keys])
    lows, highs = values.min(axis=-1), values.max(axis=-1)
    interval = Interval.RANGE
    if len(seeds) >= MIN_SEEDS_FOR_INTERVAL:
        interval = Interval.BOOTSTRAP
        parts = [values[first : first + _ROWS_AT_ONCE] for first in range(0, len(values), _ROWS_AT_ONCE)]
        lows, highs = np.concatenate([bootstrap_interval([part], _mean) for part in parts], axis=-1)
    elif len(seeds) == 1:
        interval = Interval.CELL if names else Interval.NONE
        if names:
            lows, highs = (np.array([seeds[0][key][names[bound]] for key in keys]) for bound in ("low", "high"))
    columns = (values.mean(axis=-1).tolist(), lows.tolist(), highs.tolist())
    return [
        Point(dict(zip(form.keys, key, strict=True)), quantity, len(seeds), mean, low, high, interval)
        for key, mean, low, high in zip(keys, *columns, strict=True)
    ]


def _mean(values: Float[np.ndarray, "*batch seeds"]) -> Float[np.ndarray, "*batch"]:
    return values.mean(axis=-1)


def _refuse_other_rows(study: str, files: Mapping[str, Rows]) -> None:
    """Along one line every point must average the same seeds, or its shape would be that of who is missing."""
    for (whole, rows), (path, others) in product(files.items(), repeat=2):
        missing = next((key for key in rows if key not in others), None)
        if missing:
            raise UserError(f"{path} does not hold what {whole} holds ({describe(study, missing)}): make both again with `dima study`.")


def _with_common_bins(files: Mapping[str, Rows]) -> dict[str, Rows]:
    """Calibrations whose bins can be averaged: fixed bins by their edges, others the first ones together, the second ones, and so on.

    Edges that follow from the data (equally many steps a bin) differ from seed to seed: bins overlap, or no two seeds share one, which for
    the fixed bins of a probability means that they predict different ones. Bins taken together get the mean of their edges.
    """
    result: dict[str, Rows] = {path: {} for path in files}
    for kind in dict.fromkeys(str(key[0]) for rows in files.values() for key in rows):
        bins = {path: sorted((float(low), float(high)) for name, low, high in rows if name == kind) for path, rows in files.items()}
        distinct = sorted({edges for each in bins.values() for edges in each})
        overlap = any(following[0] < edges[1] for edges, following in pairwise(distinct))
        apart = kind == "reward" and len(distinct) == sum(map(len, bins.values()))
        for path, each in bins.items():
            for place, edges in enumerate(each):
                together = [other[place] for other in bins.values() if place < len(other)] if overlap or apart else [edges]
                low, high = np.mean(together, axis=0).tolist()
                result[path][kind, low, high] = files[path][kind, *edges]
    return result
