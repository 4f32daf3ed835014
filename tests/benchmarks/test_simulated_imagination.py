"""The simulator in the place of the world model: its rollouts are what really happens from the stored
states."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from benchmarks.simulated_imagination import SimulatedLearner, SimulatedWorlds
from benchmarks.workload import CONFIG
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid, merge, validate
from dima.errors import UserError

HORIZON = 5


def cell(task: str) -> CellConfig:
    small = {
        "parameters": {
            "behavior": {"rollouts": 6, "horizon": HORIZON},
            "schedule": {"warmup_steps": 300, "first_policy_epoch": 1},
        }
    }
    found = (
        load_grid("fewer-steps-tasks", CONFIG).resolve(CellKey(task, "dima-swift", 1)).model_dump(mode="json")
    )
    return validate(CellConfig, merge(found, small), "test")


@pytest.mark.parametrize(
    ("task", "first_reward", "rewards_after", "states"),
    [
        ("halfcheetah-2x3", 1e-3, 1e-3, 1e-3),
        ("ant-2x4", 0.2, 1e-3, 1e-3),  # the state lacks the lag of the torso's place
        ("walker2d-2x3", 0.1, 0.1, 0.5),  # nor velocities above 10
    ],
)
def test_a_rollout_with_the_recorded_actions_is_the_recorded_episode(
    task: str, first_reward: float, rewards_after: float, states: float
) -> None:
    """Six starts among the first collected steps: rewards in their units, states in scaled ones."""
    config = cell(task)
    with closing(SimulatedLearner(config)) as learner:
        learner.collect()
        episodes = [episode for episode in learner.replay.episodes() if len(episode.reward) > 3 + 6 + HORIZON]
        episode = episodes[0]
        windows = learner.replay.sample_windows(6, 3, learner._streams["replay"])
        firsts = range(3, 9)
        starts = type(windows)(
            state=torch.stack([episode.state[t - 2 : t + 1] for t in firsts]),
            action=torch.stack([episode.action[t - 2 : t + 1] for t in firsts]),
            next_state=torch.stack([episode.next_state[t - 2 : t + 1] for t in firsts]),
            observation=torch.stack([episode.observation[t] for t in firsts]),
            valid=torch.ones(6, 3, dtype=torch.bool),
        )
        steps = iter(range(HORIZON))

        class Recorded:
            def sample(self, observation, generator):
                step = next(steps)
                return torch.stack([episode.action[t + step] for t in firsts])

        rollout = learner._worlds.imagine(
            learner.world_model, Recorded(), starts, HORIZON, learner._streams["policy"]
        )
        reward_errors = (
            rollout.reward - torch.stack([episode.reward[t : t + HORIZON] for t in firsts])
        ).abs()
        real = torch.stack([episode.state[t : t + HORIZON + 1] for t in firsts])
    assert reward_errors[:, 0].max() < first_reward
    assert reward_errors[:, 1:].max() < rewards_after
    assert (rollout.state - learner.world_model.scale(real)).abs().max() < states
    np.testing.assert_allclose(rollout.continuation, 1.0)


def test_only_the_policy_learns() -> None:
    config = cell("halfcheetah-2x3")
    with closing(SimulatedLearner(config)) as learner:
        model = {name: value.clone() for name, value in learner.world_model.named_parameters()}
        actor = [value.clone() for value in learner.actor_critic.actor.parameters()]
        report = learner.run_epoch()["behavior"]
        assert np.isfinite(list(report.values())).all()
        assert all(torch.equal(value, model[name]) for name, value in learner.world_model.named_parameters())
        assert any(
            not torch.equal(old, new)
            for old, new in zip(actor, learner._acting_actor.parameters(), strict=True)
        )


def test_another_suite_is_refused() -> None:
    with pytest.raises(UserError, match="push-mass cannot be set to a stored state"):
        SimulatedWorlds(cell("push-mass"), 2)
