"""What stands where in an imagined rollout, with a world model that is written by hand."""

from __future__ import annotations

import pytest
import torch

from dima.behavior.imagination import imagine
from dima.behavior.networks import Actor
from dima.experience.random import RandomStreams
from dima.experience.transitions import Windows
from dima.world_model.world_model import WorldModel

BATCH, STEPS, AGENTS, STATE = 4, 3, 2, 3


class Adding(WorldModel):
    """The next state is the last one plus the sum of the actions; agent i observes the state plus i;
    everything is written down."""

    def __init__(self, ends=None):
        torch.nn.Module.__init__(self)
        self.ends = ends
        self.asked = []

    def scale(self, states):
        return states

    def observe(self, state):
        return state[:, None] + torch.arange(AGENTS)[:, None]

    def prepared(self):
        return "prepared"

    def step(self, history, actions, order_generator, noise_generator, network):
        assert network == "prepared"
        self.asked.append((history, actions))
        return history[:, -1] + actions[:, -1].sum(dim=(1, 2))[:, None]

    def score(self, states, actions, generator):
        self.scored = states, actions
        return states.sum(dim=2) + actions.sum(dim=(2, 3)), torch.full(states.shape[:2], 0.9)

    def start_scoring(self):
        self.begun = []
        return self

    def score_step(self, scoring, state, action, begins, generator):
        self.begun.append(begins)
        return state.sum(dim=1) + action.sum(dim=(1, 2)), 1.0 - self.ends[:, len(self.begun) - 1]


def drawn(seed, count=BATCH):
    generator = torch.Generator().manual_seed(seed)
    valid = torch.ones(count, STEPS, dtype=torch.bool)
    valid[0, :2] = False  # the first row starts at the beginning of its episode
    state = torch.randn(count, STEPS, STATE, generator=generator)
    action = torch.randn(count, STEPS, AGENTS, 1, generator=generator)
    observation = 7 + torch.rand(count, AGENTS, STATE, generator=generator)
    return Windows(state, action, torch.zeros_like(state), observation, valid)


@pytest.fixture
def windows():
    return drawn(0)


def rolled(cell, windows, ends=None, restarts=None, **changes):
    torch.manual_seed(0)
    model = Adding(ends)
    config = cell.parameters.behavior.model_copy(update={"horizon": 4, **changes})
    streams = RandomStreams(0, ["policy", "order", "noise", "ends"], torch.device("cpu"))
    return model, imagine(model, Actor(STATE, 1, [8]), windows, config, streams, restarts)


def test_states_actions_and_observations_belong_together(tiny_cell, windows):
    model, rollout = rolled(tiny_cell, windows)
    assert torch.equal(rollout.state[:, 0], windows.state[:, -1])
    torch.testing.assert_close(
        rollout.state[:, 1:], rollout.state[:, :-1] + rollout.action.sum(dim=(2, 3))[..., None]
    )
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
    torch.testing.assert_close(
        rollout.reward, rollout.state[:, :-1].sum(dim=2) + rollout.action.sum(dim=(2, 3))
    )
    assert rollout.continuation.eq(0.9).all()


@pytest.mark.parametrize("kind", ["reconstruction", "real"])
def test_the_first_observation_is_reconstructed_or_real(tiny_cell, windows, kind):
    model, rollout = rolled(tiny_cell, windows, start_observation=kind)
    wanted = windows.observation if kind == "real" else model.observe(rollout.state[:, 0])
    assert torch.equal(rollout.observation[:, 0], wanted)
    assert torch.equal(rollout.observation[:, 1], model.observe(rollout.state[:, 1]))


ENDS = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]])


@pytest.mark.parametrize("kind", ["reconstruction", "real"])
def test_where_an_episode_ends_another_begins_in_its_row(tiny_cell, windows, kind):
    """States, actions and observations of the next step are those of the window that was drawn for row and
    step."""
    restarts = drawn(1, 3 * BATCH)
    model, rollout = rolled(tiny_cell, windows, ENDS, restarts, start_observation=kind)
    assert torch.equal(rollout.continuation, 1 - ENDS)
    assert torch.equal(torch.stack(model.begun, dim=1)[:, 1:], ENDS[:, :-1] == 1)
    for row in range(BATCH):
        for step in range(3):
            history, told = (part[row] for part in model.asked[step + 1])
            fresh = step * BATCH + row
            if ENDS[row, step]:
                assert torch.equal(history, restarts.state[fresh] * restarts.valid[fresh, :, None])
                assert torch.equal(told[:-1], restarts.action[fresh, :-1])
                assert torch.equal(rollout.last_action[row, step + 1], restarts.action[fresh, -2])
                wanted = (
                    restarts.observation[fresh]
                    if kind == "real"
                    else model.observe(restarts.state[fresh, -1:])[0]
                )
            else:
                before = model.asked[step][0][row]
                grown = before[-1] + rollout.action[row, step].sum()
                torch.testing.assert_close(history, torch.cat([before[1:], grown[None]]))
                assert torch.equal(rollout.last_action[row, step + 1], rollout.action[row, step])
                wanted = model.observe(rollout.state[row : row + 1, step + 1])[0]
            assert torch.equal(history[-1], rollout.state[row, step + 1])
            assert torch.equal(rollout.observation[row, step + 1], wanted)
            assert torch.equal(told[-1], rollout.action[row, step + 1])
    last = rollout.state[:, 3] + rollout.action[:, 3].sum(dim=(1, 2))[:, None]
    torch.testing.assert_close(rollout.state[:, 4], last)  # nothing begins after the last step
    torch.testing.assert_close(
        rollout.reward, rollout.state[:, :-1].sum(dim=2) + rollout.action.sum(dim=(2, 3))
    )


def test_nothing_in_a_rollout_is_differentiated(tiny_cell, windows):
    _, rollout = rolled(tiny_cell, windows)
    assert not any(tensor.requires_grad for tensor in vars(rollout).values())
