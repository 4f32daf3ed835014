"""What stands where in an imagined rollout, with a world model that is written by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dima.behavior.imagination import imagine
from dima.behavior.networks import Actor
from dima.random import RandomStreams
from dima.replay import Windows
from dima.world_model.world_model import WorldModel

BATCH, STEPS, AGENTS, STATE = 4, 3, 2, 3


class Adding(WorldModel):
    """The next state is the last one plus the sum of the actions; agent i observes the state plus i; everything is written down."""

    def __init__(self, termination, ends=None):
        torch.nn.Module.__init__(self)
        self.reward_model = SimpleNamespace(config=SimpleNamespace(termination=termination))
        self.ends = ends
        self.asked = []

    def scale(self, states):
        return states

    def observe(self, state):
        return state[:, None] + torch.arange(AGENTS)[:, None]

    def step(self, history, actions, order_generator, noise_generator):
        self.asked.append((history, actions))
        return history[:, -1] + actions[:, -1].sum(dim=(1, 2))[:, None]

    def score(self, states, actions, generator):
        self.scored = states, actions
        soft = torch.full(states.shape[:2], 0.9)
        return states.sum(dim=2) + actions.sum(dim=(2, 3)), soft if self.ends is None else 1.0 - self.ends


@pytest.fixture
def windows():
    generator = torch.Generator().manual_seed(0)
    valid = torch.ones(BATCH, STEPS, dtype=torch.bool)
    valid[0, :2] = False  # the first row starts at the beginning of its episode
    state = torch.randn(BATCH, STEPS, STATE, generator=generator)
    action = torch.randn(BATCH, STEPS, AGENTS, 1, generator=generator)
    return Windows(state, action, torch.zeros_like(state), torch.full((BATCH, AGENTS, STATE), 7.0), valid)


def rolled(cell, windows, termination="bernoulli", ends=None, **changes):
    torch.manual_seed(0)
    model = Adding(termination, ends)
    config = cell.parameters.behavior.model_copy(update={"horizon": 4, **changes})
    streams = RandomStreams(0, ["policy", "order", "noise"], torch.device("cpu"))
    return model, imagine(model, Actor(STATE, 1, [8]), windows, config, streams)


def test_states_actions_and_observations_belong_together(tiny_cell, windows):
    model, rollout = rolled(tiny_cell, windows)
    assert torch.equal(rollout.state[:, 0], windows.state[:, -1])
    torch.testing.assert_close(rollout.state[:, 1:], rollout.state[:, :-1] + rollout.action.sum(dim=(2, 3))[..., None])
    for step in range(4):
        assert torch.equal(rollout.observation[:, step], model.observe(rollout.state[:, step]))
    assert rollout.action.unique().numel() == rollout.action.numel()


def test_every_step_is_told_the_last_three_states_and_actions(tiny_cell, windows):
    model, rollout = rolled(tiny_cell, windows)
    states = torch.cat([windows.state[:, :-1] * windows.valid[:, :-1, None], rollout.state], dim=1)
    actions = torch.cat([windows.action[:, :-1], rollout.action], dim=1)
    assert len(model.asked) == 4
    for step, (history, told) in enumerate(model.asked):
        assert torch.equal(history, states[:, step : step + 3])
        assert torch.equal(told, actions[:, step : step + 3])


def test_the_critic_gets_the_action_before_each_state(tiny_cell, windows):
    _, rollout = rolled(tiny_cell, windows)
    assert torch.equal(rollout.last_action[:, 0], windows.action[:, -2])
    assert torch.equal(rollout.last_action[:, 1:], rollout.action)


def test_reward_is_scored_on_the_states_the_actions_were_taken_in(tiny_cell, windows):
    model, rollout = rolled(tiny_cell, windows)
    assert torch.equal(model.scored[0], rollout.state[:, :-1])
    assert torch.equal(model.scored[1], rollout.action)
    torch.testing.assert_close(rollout.reward, rollout.state[:, :-1].sum(dim=2) + rollout.action.sum(dim=(2, 3)))
    assert rollout.alive.eq(1).all()
    assert rollout.continuation.eq(0.9).all()


@pytest.mark.parametrize(("kind", "expected"), [("reconstruction", None), ("real", 7.0)])
def test_the_first_observation_is_reconstructed_or_real(tiny_cell, windows, kind, expected):
    model, rollout = rolled(tiny_cell, windows, start_observation=kind)
    wanted = model.observe(rollout.state[:, 0]) if expected is None else torch.full_like(rollout.observation[:, 0], expected)
    assert torch.equal(rollout.observation[:, 0], wanted)


def test_a_rollout_counts_up_to_and_including_its_sampled_end(tiny_cell, windows):
    ends = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]])
    _, rollout = rolled(tiny_cell, windows, "categorical", ends)
    assert rollout.alive.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_nothing_in_a_rollout_is_differentiated(tiny_cell, windows):
    _, rollout = rolled(tiny_cell, windows)
    assert not any(tensor.requires_grad for tensor in vars(rollout).values())
