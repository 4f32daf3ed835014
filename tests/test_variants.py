"""Every variant of DIMA is a YAML file, trains, and differs from DIMA in what its file says alone."""

from __future__ import annotations

import pytest
import torch
import yaml
from conftest import CONFIG, TINY_DIMA, tiny_config

from dima.grid import CellKey, Grid, load_grid
from dima.train import DimaLearner

VARIANTS = {
    path.stem: parameters
    for path in sorted((CONFIG / "methods").glob("*.yaml"))
    for content in [yaml.safe_load(path.read_text(encoding="utf-8"))]
    for parameters in [content["parameters"]]
    if content.get("extends") == "dima"
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Grid:
    """Every variant on push-mass, seconds a cell."""
    config = tiny_config(tmp_path_factory.mktemp("variants"))
    methods = ["dima", *VARIANTS]
    content = {
        "experiments": {"final_returns": [{"tasks": ["push-mass"], "methods": methods, "seeds": [1]}]},
        "overrides": {"methods": dict.fromkeys(methods, TINY_DIMA)},
    }
    (config / "variants.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_grid("variants", config)


def leaves(values, path=()):
    if not isinstance(values, dict):
        return {path: values}
    return {key: value for name, part in values.items() for key, value in leaves(part, (*path, name)).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_trains_for_two_epochs(grid, variant):
    learner = DimaLearner(grid.resolve(CellKey("push-mass", variant, 1)), torch.device("cpu"))
    first, second = learner.run_epoch(), learner.run_epoch()
    assert "behavior" not in first
    assert second["denoiser"]["loss"] != first["denoiser"]["loss"]
    assert second["behavior"].keys() >= {"actor_loss", "critic_loss"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_differs_in_what_its_file_says(variant):
    """At the paper's sizes, where nothing else is overridden."""
    content = {"experiments": {"x": [{"tasks": ["halfcheetah-2x3"], "methods": ["dima", variant], "seeds": [1]}]}}
    from dima.grid import GridFile, validate

    grid = Grid("x", validate(GridFile, content, "x"), CONFIG)
    ours, base = (
        leaves(grid.resolve(CellKey("halfcheetah-2x3", name, 1)).parameters.model_dump(mode="json")) for name in (variant, "dima")
    )
    said = leaves(VARIANTS[variant])
    assert {path for path in ours if ours[path] != base[path]} <= said.keys()
    assert any(ours[path] != base[path] for path in said)
    assert {path: ours[path] for path in said} == said
