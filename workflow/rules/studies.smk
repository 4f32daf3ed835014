"""Studies of trained world models: of a cell, over the seeds of a task's DIMA variants, and frames."""

import sys
from functools import cache, partial

from dima.analysis.paths import (
    STUDIES,
    cell_study_path,
    cells_with_frames,
    cells_with_world_model,
    lead_cell,
    study_paths,
)
from dima.config.studied import FRAMES, refusal


wildcard_constraints:
    study="|".join(STUDIES),


@cache
def studied_cells(grid_name: str, task: str) -> list[CellKey]:
    """The task's cells with a world model. Exits with one sentence for an invalid grid."""
    try:
        return cells_with_world_model(grid_called(grid_name), task)
    except UserError as error:
        sys.exit(str(error))  # any other exception of an input function comes with a traceback


def grid_called(name: str) -> Grid:
    """The grid. Raises UserError for one that does not exist."""
    return GRIDS.get(name) or load_grid(name)


def summary_to_study(wildcards) -> str:
    """The summary of the cell; exits, in one sentence, for a cell without such a study."""
    return require_study(wildcards, wildcards.study)


def summaries_to_draw(wildcards) -> list[str]:
    """The summaries of the cell and of the cell whose policy acts in its frames."""
    own = require_study(wildcards, FRAMES)
    lead = lead_cell(grid_called(wildcards.grid), key_of(wildcards))
    return list(dict.fromkeys([own, f"results/{wildcards.grid}/cells/{lead.folder}/summary.json"]))


def require_study(wildcards, study: str) -> str:
    """The cell's summary; exits, in one sentence, without such a cell or such a study of it."""
    require_cell(wildcards)
    key = key_of(wildcards)
    try:
        refused = refusal(grid_called(wildcards.grid).resolve(key), study)
    except UserError as error:
        refused = str(error)
    if refused is not None:
        sys.exit(refused)
    return f"results/{wildcards.grid}/cells/{key.folder}/summary.json"


def studies_of_task(wildcards) -> list[str]:
    """The study of every cell of the task that has a world model."""
    cells = studied_cells(wildcards.grid, wildcards.task)
    if not cells:
        sys.exit(f"No method on {wildcards.task} in grid {wildcards.grid} has a world model to study.")
    return [str(cell_study_path(GRIDS[wildcards.grid], RESULTS, key, wildcards.study)) for key in cells]


def studies_of_grid(grid_name: str, wildcards) -> list[str]:
    """All results of studies of the grid, and the cells' summaries: a removed one runs its cell again."""
    grid = GRIDS[grid_name]
    cells = {task: studied_cells(grid_name, task) for task in dict.fromkeys(key.task for key in grid.cells)}
    tables = [
        path
        for task, keys in cells.items()
        if keys
        for study in STUDIES
        for path in study_paths(grid, RESULTS, task, study)
    ]
    drawn = [key for task in cells for key in cells_with_frames(grid, task)]
    frames = [cell_study_path(grid, RESULTS, key, FRAMES) for key in drawn]
    return [str(path) for path in tables + frames] + [
        f"results/{grid_name}/cells/{key.folder}/summary.json" for key in drawn
    ]


rule study:
    input:
        summary_to_study,
    output:
        "results/{grid}/cells/{task}/{method}/seed-{seed}/studies/{study}.csv",
    log:
        "results/{grid}/logs/{task}/{method}/seed-{seed}-{study}.log",
    container:
        image_of
    threads: 1
    resources:
        gpu_percent=gpu_percent,
    shell:
        "python -m dima study {wildcards.study:q} --grid {wildcards.grid:q} --task {wildcards.task:q}"
        " --method {wildcards.method:q} --seed {wildcards.seed:q} --threads {threads}"
        " --gpu-percent {resources.gpu_percent} {GPUS} > {log:q} 2>&1"


rule frames:
    input:
        summaries_to_draw,
    output:
        "results/{grid}/cells/{task}/{method}/seed-{seed}/studies/frames.npz",
    log:
        "results/{grid}/logs/{task}/{method}/seed-{seed}-frames.log",
    container:
        image_of
    threads: 1
    resources:
        gpu_percent=gpu_percent,
    shell:
        "python -m dima study frames --grid {wildcards.grid:q} --task {wildcards.task:q}"
        " --method {wildcards.method:q} --seed {wildcards.seed:q} --threads {threads}"
        " --gpu-percent {resources.gpu_percent} {GPUS} > {log:q} 2>&1"


rule study_over_seeds:
    input:
        studies_of_task,
    output:
        multiext("results/{grid}/studies/{task}/{study}", ".csv", ".pdf", ".png", ".svg"),
    log:
        "results/{grid}/logs/studies/{task}-{study}.log",
    threads: 1
    shell:
        "python -m dima studies --grid {wildcards.grid:q} --task {wildcards.task:q}"
        " --study {wildcards.study:q} > {log:q} 2>&1"


for grid in GRIDS.values():

    rule:
        name:
            f"{grid.name}_studies"
        input:
            partial(studies_of_grid, grid.name),
