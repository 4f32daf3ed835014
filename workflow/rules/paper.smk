"""Tables, figures and report of every grid, from the records of its cells."""

import sys
from functools import partial
from glob import glob
from pathlib import Path

from dima.analysis.paths import figure_paths, prediction_studies, report_path, table_paths

RESULTS = Path("results")
REFERENCE = sorted(glob("workflow/reference/*.csv"))
# Snakemake's own report takes a whole folder into a ZIP file, into a single HTML file the first page alone
REPORT_PAGES = {"htmlindex": "index.html"} if any(word.endswith(".zip") for word in sys.argv) else {"patterns": ["{page,index}.html"]}


def table_files(grid_name: str) -> list[str]:
    """The tables of the grid."""
    return [str(path) for path in table_paths(GRIDS[grid_name], RESULTS)]


def figure_files(grid_name: str) -> list[str]:
    """The figures of the grid."""
    return [str(path) for path in figure_paths(GRIDS[grid_name], RESULTS)]


def report_files(grid_name: str) -> list[str]:
    """The folder of the grid's report."""
    return [str(report_path(GRIDS[grid_name], RESULTS))]


def shown(paths: list[str], ending: str, caption: str, category: str) -> list[str]:
    """The paths, those with the ending marked for Snakemake's own report."""
    marked = {"caption": caption, "category": category}
    return [report(path, labels={"file": os.path.basename(path)}, **marked) if path.endswith(ending) else path for path in paths]


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
            shown(table_files(grid.name), ".csv", "../report/table.rst", "Tables"),
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
            shown(figure_files(grid.name), ".png", "../report/figure.rst", "Figures"),
        log:
            f"results/{grid.name}/logs/figures.log",
        threads: 1
        params:
            grid=grid.name,
        shell:
            "python -m dima figures --grid {params.grid:q} > {log:q} 2>&1"

    rule:
        name:
            f"{grid.name}_report"
        input:
            summaries(grid),
            made_studies(grid),
            REFERENCE,
            partial(films_there, grid.name),
        output:
            report(
                directory(report_files(grid.name)),
                caption="../report/report.rst",
                category="Report",
                labels={"page": "first page"},
                **REPORT_PAGES,
            ),
        log:
            f"results/{grid.name}/logs/report.log",
        threads: 1
        params:
            grid=grid.name,
        shell:
            "python -m dima report --grid {params.grid:q} > {log:q} 2>&1"
