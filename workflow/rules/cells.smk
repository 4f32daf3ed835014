"""One rule makes every cell; its digest parameter reruns exactly the cells whose configuration changed."""

import sys
from functools import cache

import envs
from dima.errors import UserError
from dima.config.grid import CellKey, Grid, load_grid


wildcard_constraints:
    grid="[a-z0-9-]+",
    task="[a-z0-9-]+",
    method="[a-z0-9-]+",
    seed="0|[1-9][0-9]*",


def summaries(grid: Grid) -> list[str]:
    """The summaries of all cells of the grid."""
    return [f"results/{grid.name}/cells/{key.folder}/summary.json" for key in grid.cells]


def key_of(wildcards) -> CellKey:
    """The cell of a job's wildcards."""
    return CellKey(wildcards.task, wildcards.method, int(wildcards.seed))


@cache
def digest(grid_name: str, key: CellKey) -> str:
    """The digest of the cell's configuration, or "" while its task or method does not exist."""
    grid = GRIDS.get(grid_name) or load_grid(grid_name)
    grid.require(key)
    return grid.resolve(key).digest() if exists(grid, key) else ""


def exists(grid: Grid, key: CellKey) -> bool:
    """Whether there is code for the task and a configuration of the method."""
    return key.task in envs.TASKS and grid.has_method(key.method)


def require_cell(wildcards) -> list[str]:
    """No input files: exits, in one sentence, for a cell that is not in its grid or is invalid."""
    try:
        digest(wildcards.grid, key_of(wildcards))
    except UserError as error:
        sys.exit(str(error))  # any other exception of an input function comes with a traceback
    return []


def train_options(wildcards) -> str:
    """Options of `dima train` by how Snakemake was called; as params they would rerun finished cells.

    The cells of a Slurm job (`group-components` in the profile) train at the same time on its GPU and cores.
    """
    seeds = " ".join(map(str, seeds_of_group()))
    return f"--finished-after {finished_after()}" + (f" --with-seeds {seeds}" if seeds else "")


rule cell:
    input:
        require_cell,
    output:
        report(
            "results/{grid}/cells/{task}/{method}/seed-{seed}/summary.json",
            caption="../report/cell.rst",
            category="Cells",
            labels={"task": "{task}", "method": "{method}", "seed": "{seed}"},
        ),
    log:
        "results/{grid}/logs/{task}/{method}/seed-{seed}.log",
    container:
        image_of
    threads: lambda wildcards: max(1, len(seeds_of_group()))
    resources:
        gpu_percent=gpu_percent,
        options=train_options,
    params:
        digest=lambda wildcards: digest(wildcards.grid, key_of(wildcards)),
    # exec: a signal to all processes of a job would end the shell, and Snakemake with it, before the cell's
    # checkpoint
    shell:
        "exec python -m dima train --grid {wildcards.grid:q} --task {wildcards.task:q}"
        " --method {wildcards.method:q} --seed {wildcards.seed:q} --gpu-percent {resources.gpu_percent}"
        " {GPUS} {resources.options} --wait > {log:q} 2>&1"
