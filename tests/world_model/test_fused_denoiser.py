"""Where the denoiser's network is fused, all that calls it takes the fused one, and packs its weights once
between two updates of them."""

from __future__ import annotations

import pytest
import torch

import dima.learning.dima_learner
from dima.config import CellConfig
from dima.config.grid import merge, validate
from dima.learning.dima_learner import DimaLearner
from dima.world_model.fused.network import FusedNetwork


@pytest.fixture
def cell(tiny_cell) -> CellConfig:
    """Of a network that can be fused."""
    denoiser = {"channels": [64, 64], "blocks": [1, 1]}
    return validate(
        CellConfig, merge(tiny_cell.model_dump(mode="json"), {"parameters": {"denoiser": denoiser}}), "test"
    )


@pytest.fixture
def fused(cell, monkeypatch) -> DimaLearner:
    """Its kernel is the plain network."""
    monkeypatch.setattr(dima.learning.dima_learner, "why_not_fused", lambda config, device, compute: None)
    learner = DimaLearner(cell, torch.device("cpu"))
    denoiser = learner.world_model.denoiser

    def kernel(self, signal, modulation, packed):
        self.calls += 1
        read, *products = denoiser.dense()
        return denoiser._run(signal[:, 3], signal[:, :3], modulation, read, products)

    def pack(self):
        self.packed += 1

    for name, stand_in in {"__call__": kernel, "pack": pack, "calls": 0, "packed": 0}.items():
        monkeypatch.setattr(FusedNetwork, name, stand_in, raising=False)
    return learner


@pytest.mark.parametrize(("part", "calls"), [("denoiser", 3), ("policy", 5 * 4)])
def test_an_update_takes_the_fused_network_and_packs_once(cell, fused, part, calls):
    """The denoiser's: two predictions and the loss. The policy's: four denoising steps for each of five
    imagined ones."""
    plain = DimaLearner(cell, torch.device("cpu"))
    plain.world_model.denoiser._fused = None
    found = []
    for learner in (fused, plain):
        learner._collect()
        torch.manual_seed(0)
        for weight in (
            learner.world_model.denoiser.parameters()
        ):  # layers that start at zero would hide what came before them
            torch.nn.init.normal_(weight, std=0.1)
        found.append(getattr(learner, f"_update_{part}")())
    torch.testing.assert_close(*found)
    network = fused.world_model.denoiser._fused
    assert (network.calls, network.packed) == (calls, 1)


def test_a_checkpoint_of_a_fused_denoiser_is_that_of_the_plain_one(cell, fused):
    plain = DimaLearner(cell, torch.device("cpu")).world_model.denoiser
    plain._fused = None
    assert list(fused.world_model.denoiser.state_dict()) == list(plain.state_dict())


def test_nothing_is_fused_on_a_cpu(cell):
    assert DimaLearner(cell, torch.device("cpu")).world_model.denoiser._fused is None
