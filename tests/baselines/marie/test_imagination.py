"""Rollouts in a world model that is written by hand, and in chunks."""

from __future__ import annotations

import pytest
import torch
from counting_model import AGENTS, TOKENS, CountingTokenizer, CountingWorld

from dima.baselines.marie.imagination import imagine
from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel
from dima.behavior.networks import Actor
from dima.experience.random import RandomStreams


def streams(seed=1):
    return RandomStreams(seed, ("policy", "tokens"), torch.device("cpu"))


@pytest.fixture
def config(make_cell):
    return make_cell().parameters.behavior


def actor(observation=1, action=1):
    torch.manual_seed(0)
    return Actor(observation, action, (8,))


def test_what_stands_where(config):
    """15 states and 14 steps: the step from state t has its action, reward and continuation at t; every agent
    has its own reward."""
    config = config.model_copy(update={"horizon": 15, "rollout_chunk": 4})
    world, starts = CountingWorld(), torch.arange(14.0).view(7, AGENTS, 1)
    rollout = imagine(CountingTokenizer(), world, actor(), starts, config, streams())
    assert rollout.observation.shape == (7, 15, AGENTS, 1)
    assert rollout.action.shape == (7, 14, AGENTS, 1)
    assert rollout.reward.shape == rollout.continuation.shape == (7, 14, AGENTS)
    expected = starts[:, None] + torch.arange(15.0)[:, None, None]
    assert torch.equal(rollout.observation, expected)
    number = expected[:, :-1, :, 0]
    torch.testing.assert_close(rollout.reward, 10.0 * torch.arange(AGENTS) + number + rollout.action[..., 0])
    torch.testing.assert_close(rollout.continuation, 1 / (1 + number))
    assert len(world.given) == 2 * 14


def test_actions_are_drawn_from_the_policy_at_what_is_reconstructed(config):
    class Rounding(CountingTokenizer):
        def decode(self, tokens):
            return 100.0 * tokens[..., :1].float()

    policy = actor()
    with torch.no_grad():
        policy.mean.weight.mul_(50)
        policy.std_logit.fill_(-20.0)
    rollout = imagine(
        Rounding(), CountingWorld(), policy, torch.arange(12.0).view(6, AGENTS, 1), config, streams()
    )
    assert torch.equal(rollout.observation[:, 0], 100.0 * torch.arange(12.0).view(6, AGENTS, 1))
    torch.testing.assert_close(rollout.action, policy(rollout.observation[:, :-1]).mean, rtol=0, atol=1e-6)


def test_its_noise_is_standard_normal_and_uniform(config):
    world = CountingWorld()
    config = config.model_copy(update={"rollout_chunk": 500})
    policy = actor()
    rollout = imagine(CountingTokenizer(), world, policy, torch.zeros(500, AGENTS, 1), config, streams())
    noise = (rollout.action - policy(rollout.observation[:, :-1]).mean) / policy(
        rollout.observation[:, :-1]
    ).stddev
    assert noise.mean().item() == pytest.approx(0, abs=0.06)
    assert noise.std().item() == pytest.approx(1, abs=0.04)
    uniform = torch.stack([given[2] for given in world.given])
    assert uniform.shape == (3, 500, AGENTS, TOKENS)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.02)
    assert len(uniform.unique()) > 0.99 * uniform.numel()


@pytest.mark.parametrize("chunk", [1, 2, 5, 11, 100])
def test_a_chunks_size_changes_nothing(make_cell, chunk):
    """In double precision, where no rounding decides a token."""
    parameters = make_cell().parameters
    torch.manual_seed(0)
    tokenizer = Tokenizer(5, parameters.tokenizer).double().eval()
    config = parameters.behavior.model_copy(update={"rollout_chunk": chunk})
    sizes = (AGENTS, 1, parameters.tokenizer.tokens, parameters.tokenizer.codebook_size, config.horizon)
    world_model = TokenWorldModel(*sizes, parameters.world_model, "reference").double().eval()
    with torch.no_grad():
        for parameter in world_model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    starts = torch.randn(11, AGENTS, 5, dtype=torch.float64)
    whole = config.model_copy(update={"rollout_chunk": 11})
    found, expected = (
        imagine(tokenizer, world_model, actor(5).double(), starts, one, streams()) for one in (config, whole)
    )
    for name, value in vars(expected).items():
        torch.testing.assert_close(vars(found)[name], value, rtol=1e-9, atol=1e-9)
    assert len(expected.observation.flatten(0, 2).unique(dim=0)) > 10
