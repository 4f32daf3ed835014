"""Tables and figures of every grid, from the records of its cells."""

from glob import glob
from pathlib import Path

from dima.analysis.paths import figure_paths, table_paths

RESULTS = Path("results")
REFERENCE = sorted(glob("workflow/reference/*.csv"))


def table_files(grid_name: str) -> list[str]:
    """The tables of the grid."""
    return [str(path) for path in table_paths(GRIDS[grid_name], RESULTS)]


def figure_files(grid_name: str) -> list[str]:
    """The figures of the grid."""
    return [str(path) for path in figure_paths(GRIDS[grid_name], RESULTS)]


for grid in GRIDS.values():

    rule:
        name:
            f"{grid.name}_tables"
        input:
            summaries(grid),
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
