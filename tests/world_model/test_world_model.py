"""The parts put together: which units each of them is given."""

from __future__ import annotations

import pytest
import torch

from dima.experience.dimensions import Dimensions
from dima.world_model.world_model import WorldModel


@pytest.fixture
def model(tiny_cell):
    torch.manual_seed(0)
    model = WorldModel(Dimensions(4, 2, 3, 1), tiny_cell.parameters, torch.device("cpu")).eval()
    generator = torch.Generator().manual_seed(1)
    model.normalizer.update(5 + 3 * torch.randn(200, 4, generator=generator))
    return model


def test_scaled_units_are_half_a_deviation(model):
    states = 5 + 3 * torch.randn(7, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(model.scale(states), 0.5 * model.normalizer(states))
    torch.testing.assert_close(model.unscale(model.scale(states)), states, rtol=1e-5, atol=1e-5)


def test_reward_model_and_decoder_see_z_scores(model):
    generator = torch.Generator().manual_seed(3)
    states = 5 + 3 * torch.randn(6, 5, 4, generator=generator)
    actions = torch.randn(6, 5, 2, 1, generator=generator)
    with torch.no_grad():
        reward, continuation = model.score(model.scale(states), actions, torch.Generator().manual_seed(0))
        expected, logits = model.reward_model(model.normalizer(states), actions)
        torch.testing.assert_close(reward, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            continuation, model.reward_model.continuation(logits, torch.Generator().manual_seed(0))
        )
        torch.testing.assert_close(
            model.observe(model.scale(states[:, 0])), model.state_decoder(model.normalizer(states[:, 0]))
        )
