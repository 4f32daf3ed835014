"""Where a command's records are, and the commands that pack them into archives and put them back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dima.analysis.records.files import Records
from dima.analysis.records.sources import is_of_results, records_in
from dima.errors import UserError
from dima.grid import Grid, load_grid
from dima.options import DATABASE, Commands, add_command, add_place
from dima.record.database import SCHEMES, address, required_address

RESULTS = Path("results")


def add_archive_commands(commands: Commands) -> None:
    """`dima pack` and `dima unpack`."""
    packing = add_command(commands, "pack", "pack the grid's records into archives", _pack)
    add_place(packing, database=False)
    packing.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="write archives here, or one *.tar.xz")
    packing.set_defaults(interrupted="the same command packs again")
    unpacking = add_command(commands, "unpack", "restore packed records as finished cells", _unpack)
    unpacking.add_argument(
        "--from", dest="sources", nargs="+", type=Path, required=True, metavar="PLACE", help="read these archives or folders of archives"
    )
    into = "restore into this results folder (default: %(default)s)"
    unpacking.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help=into)
    unpacking.set_defaults(interrupted="the same command goes on")


def records_of(options: argparse.Namespace, grid: Grid) -> Records:
    """Where `--from` says that the grid's records are. Raises UserError where there is no such place, or it cannot be used."""
    databases = [source for source in options.sources or () if source == DATABASE or source.startswith(SCHEMES)]
    if not databases:
        return records_in(_places(options), grid)
    if len(options.sources) > 1:
        raise UserError("--from takes folders and archives together, or one database alone.")
    from dima.analysis.records.database import DatabaseRecords

    source = databases[0]
    return DatabaseRecords(required_address() if source == DATABASE else address(source, "--from"), grid.name)


def results_of(options: argparse.Namespace, grid: Grid) -> Path:
    """The folder of all grids in which the grid's cells run: the first of `--from` that is not one of archives."""
    return next((place for place in _places(options) if is_of_results(place, grid.name)), RESULTS)


def _places(options: argparse.Namespace) -> list[Path]:
    places = [Path(source) for source in options.sources or ()]
    for place in places:
        if len(places) > 1 and not place.exists():  # alone it is a folder in which nothing was run yet
            raise UserError(f"There is no folder or archive {place}.")
    return places or [RESULTS]


def _pack(options: argparse.Namespace) -> None:
    from dima.campaign.pack import pack, unfinished_cells

    grid = load_grid(options.grid)
    records = records_of(options, grid)
    unfinished = unfinished_cells(grid, records, [place for place in _places(options) if place.is_dir()])
    for key in unfinished:
        print(f"dima: {key.folder} is not finished and was left out.", file=sys.stderr)
    for archive in pack(grid, records, options.to, unfinished):
        print(f"{archive.path}: {archive.cells} cells, {archive.size / archive.cells / 1000:.1f} kB each")


def _unpack(options: argparse.Namespace) -> None:
    from dima.record.archive import archives_in
    from dima.record.unpack import unpack

    grid = load_grid(options.grid).name
    done = unpack(archives_in(options.sources, grid), grid, options.to)
    print(f"{options.to / grid}: {done.put_back} cells put back, {done.there} there already")
