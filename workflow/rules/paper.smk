"""Tables, figures and report of every grid, of returns and of studies of world models."""

import sys
from functools import partial
from glob import glob
from pathlib import Path

from dima.analysis.paths import (
    WORLD_MODEL_FIGURES,
    Part,
    figure_paths,
    pictured_studies,
    prediction_studies,
    report_path,
    table_paths,
)

RESULTS = Path("results")
REFERENCE = sorted(glob("workflow/reference/*.csv"))


def table_files(grid_name: str, of: Part | None = None) -> list[str]:
    """The tables of the grid."""
    return [str(path) for path in table_paths(GRIDS[grid_name], RESULTS, of)]


def figure_files(grid_name: str, of: Part | None = None) -> list[str]:
    """The figures of the grid."""
    return [str(path) for path in figure_paths(GRIDS[grid_name], RESULTS, of)]


def report_files(grid_name: str) -> list[str]:
    """The folder of the grid's report."""
    return [str(report_path(GRIDS[grid_name], RESULTS))]


def predictions(grid_name: str, wildcards) -> list[str]:
    """The studies in the table of prediction errors, and their cells' summaries."""
    studies = prediction_studies(GRIDS[grid_name], RESULTS)
    return [*map(str, studies), *(str(path.parents[1] / "summary.json") for path in studies)]


def pictured(grid_name: str, wildcards) -> list[str]:
    """The studies in the figures of world models, and the summaries of all cells in these."""
    grid = GRIDS[grid_name]
    cells = dict.fromkeys(key for name in WORLD_MODEL_FIGURES for key in grid.experiments.get(name, ()))
    try:
        return [
            *map(str, pictured_studies(grid, RESULTS)),
            *(f"results/{grid_name}/cells/{key.folder}/summary.json" for key in cells),
        ]
    except UserError as error:
        sys.exit(str(error))


def studies_to_show(grid_name: str, wildcards) -> list[str]:
    """The studies in the report: all of them in a run of the whole grid, else those that exist."""
    studies = [
        path
        for path in (*predictions(grid_name, wildcards), *pictured(grid_name, wildcards))
        if "/studies/" in path
    ]
    return studies if everything_is_made(grid_name) else [path for path in studies if os.path.exists(path)]


def everything_is_made(grid_name: str) -> bool:
    """Whether this run was asked for the whole grid."""
    targets = workflow.dag_settings.targets or {"all"}
    return workflow.is_main_process and {"paper": "all"}.get(grid_name, grid_name) in targets


# rules of every grid, by name: command, part, and caption in Snakemake's own report
ASSEMBLIES = {
    "tables": ("tables", "returns", "table"),
    "prediction_error": ("tables", "world-models", "prediction_error"),
    "figures": ("figures", "returns", "figure"),
    "world_model_figures": ("figures", "world-models", "world_models"),
}


def outputs(grid_name: str, command: str, of: Part, caption: str) -> list[str]:
    """The files that the command makes; CSV and PNG files also go into Snakemake's own report."""
    files, ending = {"tables": (table_files, ".csv"), "figures": (figure_files, ".png")}[command]
    marked = partial(report, caption=f"../report/{caption}.rst", category=command.capitalize())
    return [
        marked(path, labels={"file": os.path.basename(path)}) if path.endswith(ending) else path
        for path in files(grid_name, of)
    ]


def inputs(grid: Grid, name: str) -> list:
    """The input of the job of that name."""
    if name == "world_model_figures":
        return [partial(pictured, grid.name)]
    return [partial(predictions, grid.name) if name == "prediction_error" else summaries(grid), REFERENCE]


for grid in GRIDS.values():
    for name, (command, of, caption) in ASSEMBLIES.items():
        if outputs(grid.name, command, of, caption):

            rule:
                name:
                    f"{grid.name}_{name}"
                input:
                    *inputs(grid, name),
                output:
                    outputs(grid.name, command, of, caption),
                log:
                    f"results/{grid.name}/logs/{name}.log",
                threads: 1
                params:
                    # a command is put together when the job runs, after this loop: what it reads must be the
                    # rule's own
                    command=command,
                    grid=grid.name,
                    of=of,
                shell:
                    "python -m dima {params.command:q} --grid {params.grid:q} --of {params.of:q}"
                    " > {log:q} 2>&1"

    rule:
        name:
            f"{grid.name}_report"
        input:
            summaries(grid),
            partial(studies_to_show, grid.name),
            REFERENCE,
            partial(films_there, grid.name),
        output:
            report(
                directory(report_files(grid.name)),
                caption="../report/report.rst",
                category="Report",
                labels={"page": "first page"},
                **report_pages(),
            ),
        log:
            f"results/{grid.name}/logs/report.log",
        threads: 1
        params:
            grid=grid.name,
        shell:
            "python -m dima report --grid {params.grid:q} > {log:q} 2>&1"
