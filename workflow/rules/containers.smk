"""With --sdm apptainer: images for cells, and what cells in them see of the host."""

import os
import sys
from functools import cache
from pathlib import Path

from snakemake_interface_executor_plugins.settings import DeploymentMethod

from dima.containers.environment import GPU, container_environment
from dima.containers.recipe import BUILT_ON, image_path, recipe, require_built
from dima.errors import UserError
from dima.config.grid import load_grid

IN_IMAGES = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method


wildcard_constraints:
    image="[a-z0-9-]+",


if IN_IMAGES:
    try:
        host = container_environment(os.environ, Path.cwd(), GPU.exists())
    except UserError as error:
        sys.exit(str(error))
    os.environ.clear()
    os.environ.update(host)


@cache
def image_of_method(grid_name: str, method: str) -> str:
    """The image with the method's engine; "" for a checkout's program, whose Python is in no image."""
    engine = (GRIDS.get(grid_name) or load_grid(grid_name)).engine(method)
    return "" if engine == "checkout" else str(image_path("harl" if engine == "harl" else "dima"))


def image_of(wildcards) -> str:
    """The image that a cell, or a study of it, runs in."""
    return image_of_method(wildcards.grid, wildcards.method)


def refuse_unbuilt(jobs) -> None:
    """Exit with one sentence if the image of a job is missing or older than its sources."""
    try:
        for image in sorted(
            {str(job.container_img_url) for job in jobs if job.container_img_url} if IN_IMAGES else ()
        ):
            require_built(Path(image))
    except UserError as error:
        sys.exit(f"Nothing was run: {error}")


def recipe_of(wildcards) -> str:
    """The digest of the image's sources; exits, in one sentence, for an image without a definition."""
    try:
        return recipe(wildcards.image)
    except UserError as error:
        sys.exit(str(error))


def base_of(wildcards) -> list[str]:
    """The image of ours that this one is built on, if any."""
    return [str(image_path(name)) for name in [BUILT_ON.get(wildcards.image)] if name]


rule containers:
    input:
        image_path("dima"),
        image_path("harl"),


rule build_image:
    input:
        base_of,
    output:
        "containers/{image}.sif",
    log:
        "results/logs/containers/{image}.log",
    localrule: True
    params:
        recipe=recipe_of,
    shell:
        "python -m dima build-image {wildcards.image:q} > {log:q} 2>&1"
