"""Films of trained policies, made when asked for by name and shown in the report."""

from functools import partial

from dima.analysis.paths import film_path


def films(grid_name: str) -> list[Path]:
    """The films of the grid's cells, except those of a checkout's program: its policies cannot be loaded."""
    grid = GRIDS[grid_name]
    methods = {method for method in {key.method for key in grid.cells} if grid.engine(method) != "checkout"}
    return [film_path(grid, RESULTS, key) for key in grid.cells if key.method in methods]


def films_there(grid_name: str, wildcards) -> list[str]:
    """The films that exist; a new one makes the report again."""
    return [str(path) for path in films(grid_name) if path.exists()]


def films_of_grid(grid_name: str, wildcards) -> list[str]:
    """All films of the grid."""
    return [str(path) for path in films(grid_name)]


def summary_to_film(wildcards) -> str:
    """The summary of the cell; exits, in one sentence, for a cell that is not in its grid."""
    require_cell(wildcards)
    return f"results/{wildcards.grid}/cells/{key_of(wildcards).folder}/summary.json"


rule film:
    input:
        summary_to_film,
    output:
        "results/{grid}/cells/{task}/{method}/seed-{seed}/film.mp4",
    log:
        "results/{grid}/logs/{task}/{method}/seed-{seed}-film.log",
    container:
        image_of
    threads: 1
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python -m dima render {wildcards.task:q} --policy {params.folder:q} --output {output:q} --overwrite"
        " > {log:q} 2>&1"


for grid in GRIDS.values():

    rule:
        name:
            f"{grid.name}_films"
        input:
            partial(films_of_grid, grid.name),
