"""All cells of the grids in workflow/config, their tables, figures and reports.

Targets: all (the paper's grid), quick, tables, figures, report, containers, and <grid>_tables, _figures (of
returns), _prediction_error, _world_model_figures, _studies, _films.
"""

import os
import sys

from dima.errors import UserError
from dima.config.grid import CONFIG_DIR, Grid, load_grid

# jobs run with the Python of Snakemake, even if its environment is not active
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])


def read_grids() -> dict[str, Grid]:
    """Every grid by name, with all its tasks, so that errors are found before anything starts."""
    names = {"paper", "quick"} | {path.stem for path in CONFIG_DIR.glob("*.yaml")}
    grids = {name: load_grid(name) for name in sorted(names)}
    for grid in grids.values():
        for task in {key.task for key in grid.cells}:
            grid.task(task)
    return grids


try:
    GRIDS = read_grids()
except UserError as error:
    sys.exit(str(error))


report: "workflow/report/workflow.rst"


include: "workflow/rules/snakemake.smk"
include: "workflow/rules/containers.smk"
include: "workflow/rules/cards.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/films.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/progress.smk"
include: "workflow/rules/requeue.smk"


rule all:
    default_target: True
    input:
        summaries(GRIDS["paper"]),
        table_files("paper"),
        figure_files("paper"),
        report_files("paper"),


rule quick:
    input:
        summaries(GRIDS["quick"]),
        table_files("quick"),
        figure_files("quick"),
        report_files("quick"),


rule tables:
    input:
        table_files("paper"),


rule figures:
    input:
        figure_files("paper"),


rule report:
    input:
        report_files("paper"),
