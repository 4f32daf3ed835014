"""The deterministic model in the denoiser's place (experiment X2)."""

from __future__ import annotations

import pytest
import torch

from dima.experience.transitions import Windows
from dima.world_model.deterministic import DeterministicModel, DirectSampler

STATE, AGENTS, ACTION = 4, 2, 1


@pytest.fixture
def config(tiny_cell):
    return tiny_cell.parameters.denoiser


def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 3, STATE, generator=generator), torch.randn(
        5, 3, AGENTS, ACTION, generator=generator
    )


def shaken(config):
    torch.manual_seed(0)
    model = DeterministicModel(STATE, AGENTS, ACTION, config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def test_it_begins_as_no_change(config):
    history, actions = inputs()
    model = DeterministicModel(STATE, AGENTS, ACTION, config)
    torch.testing.assert_close(model(history, actions), history[:, -1] + model.layers[-1].bias)


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("agent", range(AGENTS))
def test_it_sees_every_agents_action_at_every_step(config, step, agent):
    model = shaken(config)
    history, actions = inputs()
    other = actions.clone()
    other[:, step, agent] += 1.0
    assert not torch.allclose(model(history, actions), model(history, other))


def test_sampling_draws_nothing(config):
    model = shaken(config)
    history, actions = inputs()
    sampler, generator = DirectSampler(model, torch.device("cpu")), torch.Generator().manual_seed(0)
    before = generator.get_state()
    order, noise = sampler.draw_order(5, generator), sampler.draw_noise(5, STATE, generator)
    assert torch.equal(sampler.sample(history, actions, order, noise), model(history, actions))
    assert torch.equal(generator.get_state(), before)


def test_the_loss_is_the_squared_error_in_variances_and_builds_on_predictions(config):
    """A model that changes nothing, on true states that rise by 1 deviation a step: errors 1, 2, 3, for it
    stays where it was."""
    still = DeterministicModel(STATE, AGENTS, ACTION, config.model_copy(update={"autoregressive_steps": 3}))
    torch.nn.init.zeros_(still.layers[-1].bias)
    z = torch.arange(6.0)[None, :, None].expand(2, -1, STATE)
    valid = torch.ones(2, 5, dtype=torch.bool)
    data = Windows(z[:, :5], torch.zeros(2, 5, AGENTS, ACTION), z[:, 1:], torch.zeros(2, AGENTS, 1), valid)
    loss = still.loss(data, (z[:, :5], z[:, 1:]), torch.Generator())
    assert loss.item() == pytest.approx((1 + 4 + 9) / 3)
