"""The episode that all methods of a task and seed are shown, and where imagination begins in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dima.cell.methods import build_learner
from dima.config.grid import CellKey
from dima.errors import UserError
from dima.studies.episodes import held_out_episodes, play
from dima.studies.scene import Scene, choose_start

CPU = torch.device("cpu")


def moving(*positions: float) -> np.ndarray:
    """Observations of two agents, all of whose numbers are these."""
    return np.broadcast_to(np.array(positions, dtype=np.float32)[:, None, None], (len(positions), 2, 5))


def test_a_start_has_its_past_and_the_horizon_and_much_happens_after_it(tiny_cell):
    falling = moving(
        *(100.0 - (step - 9.0) ** 2 if step > 9 else 100.0 for step in range(30))
    )  # stands, then falls ever faster
    chosen = [choose_start(falling, 3, tiny_cell.model_copy(update={"seed": seed})) for seed in range(200)]
    assert {horizon for _, horizon in chosen} == {14}
    assert {start for start, _ in chosen} == set(range(9, 16))  # the later half of 2 to 15
    assert choose_start(falling, 3, tiny_cell) == choose_start(falling, 3, tiny_cell)
    landed = [
        choose_start(falling[::-1], 3, tiny_cell.model_copy(update={"seed": seed}))[0] for seed in range(200)
    ]
    assert set(landed) == set(range(2, 9))


@pytest.mark.parametrize(
    ("length", "horizon"), [(17, 14), (16, 10), (13, 10), (12, 5), (8, 5), (7, 1), (4, 1)]
)
def test_a_short_episode_shows_fewer_steps(tiny_cell, length, horizon):
    start, found = choose_start(moving(*range(length)), 3, tiny_cell)
    assert found == horizon
    assert 2 <= start < length - horizon


def test_an_episode_without_room_is_refused(tiny_cell):
    with pytest.raises(UserError, match="The episode of dima on push-mass ended after 3 steps"):
        choose_start(moving(1, 2, 3), 3, tiny_cell)


def test_the_actions_of_a_scene_lead_from_one_of_its_states_to_the_next(tiny_cell):
    from envs.push_mass import next_state

    learner = build_learner(tiny_cell, CPU)
    (episode,) = play(learner.exploring_policy(1), tiny_cell.task, 1, 1)
    scene = Scene(episode, 4, 10, "dima seed-1")
    assert scene.steps == [1, 5, 10]
    before = np.concatenate([episode.state[4:5], scene.state[:-1]])
    np.testing.assert_allclose(next_state(before, scene.action), scene.state, atol=1e-6)
    assert scene.observation.shape == (10, 2, 5)
    learner.close()


def test_the_episode_is_the_first_of_the_held_out_ones(tiny_cell):
    learner = build_learner(tiny_cell, CPU)
    (episode,) = play(learner.exploring_policy(1), tiny_cell.task, 1, 1)
    first, second = held_out_episodes(learner, tiny_cell.task, 1, 2)
    np.testing.assert_array_equal(episode.state, first.state)
    np.testing.assert_array_equal(episode.action, first.action)
    assert (second.state != first.state).any()
    learner.close()


def test_a_recurrent_policy_acts_by_what_it_remembers(tiny):
    cell = tiny.resolve(CellKey("push-mass", "mamba", 1))
    learner = build_learner(cell, CPU)
    episodes = [play(learner.exploring_policy(1), cell.task, 1, 1)[0] for _ in range(2)]
    np.testing.assert_array_equal(episodes[0].action, episodes[1].action)
    policy = learner.exploring_policy(1)
    noise = np.zeros((1, 2, 1), dtype=np.float32)
    same = [policy(episodes[0].observation[:1], noise) for _ in range(3)]
    assert (same[0] != same[1]).any()
    learner.close()
