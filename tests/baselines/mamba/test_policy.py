"""Acting step after step: what is remembered, and for how long."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.learner import MambaLearner
from dima.errors import UserError
from dima.render.film import _Trained

WORLDS, STEPS = 4, 5


@pytest.fixture
def learner(cell) -> MambaLearner:
    learner = MambaLearner(cell, torch.device("cpu"))
    for _ in range(2):
        learner.run_epoch()
    # means that leave [-1, 1], so that the clipping of what is remembered shows
    torch.nn.init.normal_(learner._acting_actor.mean.weight, generator=torch.Generator().manual_seed(0))
    return learner


@pytest.fixture
def observations() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(STEPS, WORLDS, 2, 5)).astype(np.float32)


@torch.no_grad()
def test_the_deterministic_policy_written_out(learner, observations):
    """Zeros before the first step, then the most likely latent state, the mean action, and that action
    clipped as the next input."""
    model, actor = learner._acting_model, learner._acting_actor
    policy = learner.frozen_policy()
    deterministic, stochastic, action = (
        torch.zeros(WORLDS, 2, 16),
        torch.zeros(WORLDS, 2, 12),
        torch.zeros(WORLDS, 2, 1),
    )
    largest = 0.0
    for observed in observations:
        deterministic = model.advance(LatentState(deterministic, stochastic), action)
        classes = model.posterior(deterministic, model.encoder(torch.from_numpy(observed))).argmax(dim=-1)
        stochastic = torch.nn.functional.one_hot(classes, 4).flatten(-2).float()
        expected = actor(torch.cat([stochastic, deterministic], dim=-1)).mean
        np.testing.assert_allclose(policy(observed), expected.numpy(), rtol=1e-5, atol=1e-6)
        largest = max(largest, expected.abs().max().item())
        action = expected.clamp(-1, 1)
    assert largest > 1


def test_worlds_side_by_side_are_played_like_one_alone(learner, observations):
    together, alone = learner.frozen_policy(), learner.frozen_policy()
    for observed in observations:
        np.testing.assert_allclose(together(observed)[2:3], alone(observed[2:3]), rtol=1e-5, atol=1e-6)


def test_what_was_seen_matters_and_act_begins_an_episode(learner, observations):
    policy = learner.frozen_policy()
    first, second = policy(observations[0]), policy(observations[0])
    assert np.abs(first - second).max() > 1e-4
    for _ in range(2):
        np.testing.assert_array_equal(learner.frozen_policy()(observations[0]), first)


def test_a_film_begins_afresh_with_every_episode(learner, observations):
    """Steps 0, 1, 2 and then 0, 1 of the next episode, with the same observations."""
    act, state = _Trained(learner), np.zeros((1, 6), dtype=np.float32)
    episodes = [
        [act(observations[step, :1], state, np.array([step])) for step in range(count)] for count in (3, 2)
    ]
    np.testing.assert_array_equal(episodes[0][:2], episodes[1])
    assert np.abs(episodes[0][1] - learner.frozen_policy()(observations[1, :1])).max() > 1e-4


def test_sampled_actions_are_the_mean_and_the_given_noise(learner, observations):
    """With the same latent states, the action moves by the deviation; without another draw the latent states
    would be others."""
    acting = learner._acting
    acting.forget()
    before = acting.state_dict()
    still = acting.sample(observations[0, :1], np.zeros((1, 2, 1), dtype=np.float32))
    acting.load_state_dict(before)
    moved = acting.sample(observations[0, :1], np.ones((1, 2, 1), dtype=np.float32))
    deviation = 0.5 * learner._acting_actor.std_logit.detach().sigmoid().numpy()
    np.testing.assert_allclose(moved - still, np.broadcast_to(deviation, (1, 2, 1)), rtol=1e-5)
    drawn = set()
    for _ in range(20):
        acting.forget()
        drawn.add(acting.sample(observations[0, :1], np.zeros((1, 2, 1), dtype=np.float32)).tobytes())
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": {"attention": {"heads": 3}}}, r"hidden must be a multiple of attention.heads \(3\)"),
        (
            {"behavior": {"critic_attention": {"heads": 3}}},
            r"critic_hidden must be a multiple of critic_attention.heads \(3\)",
        ),
        ({"model": {"sequence_length": 101}}, r"warmup_steps must be at least model.sequence_length \(101\)"),
        ({"replay_capacity": 99}, r"replay_capacity must be at least schedule.warmup_steps \(100\)"),
        ({"model": {"hiden": 3}}, r"Unknown configuration key 'parameters.model.hiden'"),
    ],
)
def test_parameters_that_contradict_one_another_are_refused_in_one_sentence(
    cell, changed, parameters, message
):
    with pytest.raises(UserError, match=message):
        changed(cell, **parameters)
