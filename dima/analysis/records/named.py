"""The records that `--from` names: folders and archives, or a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dima.analysis.records.files import Records
from dima.analysis.records.sources import is_of_results, records_in
from dima.config.grid import Grid
from dima.errors import UserError
from dima.options import DATABASE, RESULTS
from dima.record.mongo.database import SCHEMES, address, required_address


def records_named(sources: Sequence[str] | None, grid: Grid) -> Records:
    """The grid's records in the places `sources`, or in `results`.

    Raises UserError for a place that is missing or cannot be used.
    """
    databases = [source for source in sources or () if source == DATABASE or source.startswith(SCHEMES)]
    if not databases:
        return records_in(places_named(sources), grid)
    if len(sources or ()) > 1:
        raise UserError("--from takes folders and archives together, or one database alone.")
    from dima.analysis.records.database import DatabaseRecords

    source = databases[0]
    return DatabaseRecords(required_address() if source == DATABASE else address(source, "--from"), grid.name)


def results_named(sources: Sequence[str] | None, grid: Grid) -> Path:
    """The results folder of the grid's cells: the first of `sources` that is not one of archives."""
    return next((place for place in places_named(sources) if is_of_results(place, grid.name)), RESULTS)


def places_named(sources: Sequence[str] | None) -> list[Path]:
    """The folders and archives, by default `results`. Raises UserError if one of several is missing."""
    places = [Path(source) for source in sources or ()]
    for place in places:
        if len(places) > 1 and not place.exists():  # alone it may be a folder before the first run
            raise UserError(f"There is no folder or archive {place}.")
    return places or [RESULTS]
