"""Every variant of DIMA is a YAML file, trains, and differs from the method that it extends in what its file
says alone."""

from __future__ import annotations

import pytest
import torch
import yaml
from conftest import CONFIG, TINY_DIMA, tiny_config

from dima.config.grid import CellKey, Grid, GridFile, load_grid, merge, validate
from dima.learning.dima_learner import DimaLearner

FILES = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((CONFIG / "methods").glob("dima-*.yaml"))
}
VARIANTS = [name for name, content in FILES.items() if "extends" in content]


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
    extended = FILES[variant]["extends"]
    content = {
        "experiments": {"x": [{"tasks": ["halfcheetah-2x3"], "methods": [extended, variant], "seeds": [1]}]}
    }
    grid = Grid("x", validate(GridFile, content, "x"), CONFIG)
    ours, base = (
        leaves(grid.resolve(CellKey("halfcheetah-2x3", name, 1)).parameters.model_dump(mode="json"))
        for name in (variant, extended)
    )
    said = leaves(FILES[variant]["parameters"])
    assert {path for path in ours if ours[path] != base.get(path)} <= said.keys()
    assert any(ours[path] != base.get(path) for path in said)
    assert {path: ours[path] for path in said} == said


def test_the_parts_of_the_recipe_are_the_recipe():
    """dima-swift is what dima-swift-denoiser and dima-swift-policy say, and no more."""
    parts = [FILES[f"dima-swift-{part}"] for part in ("denoiser", "policy")]
    assert merge(*(part["parameters"] for part in parts)) == FILES["dima-swift"]["parameters"]
    assert all(part["for_suite"] == FILES["dima-swift"]["for_suite"] for part in parts)
