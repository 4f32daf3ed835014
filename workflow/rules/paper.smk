"""Tables and figures of every grid, from the records of its cells."""

from glob import glob
from pathlib import Path

from dima.analysis.paths import figure_paths, prediction_studies, table_paths

RESULTS = Path("results")
REFERENCE = sorted(glob("workflow/reference/*.csv"))


def table_files(grid_name: str) -> list[str]:
    """The tables of the grid."""
    return [str(path) for path in table_paths(GRIDS[grid_name], RESULTS)]


def figure_files(grid_name: str) -> list[str]:
    """The figures of the grid."""
    return [str(path) for path in figure_paths(GRIDS[grid_name], RESULTS)]


def made_studies(grid: Grid) -> list[str]:
    """The studies of cells that the tables tell of, as far as they were made: they are made when asked for by name, and again from then on."""
    return [str(path) for path in prediction_studies(grid, RESULTS) if path.exists()]


for grid in GRIDS.values():

    rule:
        name:
            f"{grid.name}_tables"
        input:
            summaries(grid),
            made_studies(grid),
            REFERENCE,
        output:
            table_files(grid.name),
        log:
            f"results/{grid.name}/logs/tables.log",
        threads: 1
        params:
            grid=grid.name,
        shell:
            "python -m dima tables --grid {params.grid:q} > {log:q} 2>&1"

    rule:
        name:
            f"{grid.name}_figures"
        input:
            summaries(grid),
            REFERENCE,
        output:
            figure_files(grid.name),
        log:
            f"results/{grid.name}/logs/figures.log",
        threads: 1
        params:
            grid=grid.name,
        shell:
            "python -m dima figures --grid {params.grid:q} > {log:q} 2>&1"
