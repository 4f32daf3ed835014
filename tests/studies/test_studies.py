"""Studies of a world model: by hand, with models that are right or wrong on purpose, and of a cell that was
trained."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

import envs
from dima.cell.run import Execution, run_cell
from dima.config.grid import merge, validate
from dima.errors import UserError
from dima.learning.dima_learner import DimaLearner
from dima.studies.calibration import calibration_rows
from dima.studies.episodes import RealEpisode, Study, cut, held_out_episodes, training_episodes
from dima.studies.gain import gain_rows, place, regression
from dima.studies.prediction import HORIZON, cumulative_error, prediction_rows
from dima.studies.run import STUDIES, run_study
from dima.world_model.deterministic import DirectSampler
from envs.push_mass import next_state

CPU = torch.device("cpu")


def changed(cell, **parameters):
    return validate(type(cell), merge(cell.model_dump(mode="json"), {"parameters": parameters}), "test")


def ramp(length, offset=0.0):
    """An episode whose step t has state (t, ...), action t / 100, observation 10 t and reward t."""
    steps = offset + np.arange(length, dtype=np.float32)
    states, observations = (
        np.repeat(steps[:, None], 6, axis=1),
        np.repeat(10 * steps[:, None, None], 5, axis=2).repeat(2, axis=1),
    )
    actions = np.repeat(steps[:, None, None] / 100, 2, axis=1)
    ends = np.arange(length) == length - 1
    return RealEpisode(states, observations, actions, steps, np.zeros_like(ends), ends)


def study(learner, episodes, count=60):
    return Study(learner.world_model, envs.make("push-mass"), episodes, 3, count, CPU, 5)


def test_a_segment_has_its_past_and_what_follows():
    segments = cut([ramp(30), ramp(30, 100.0)], [(0, 2), (1, 10)], 3, 4, CPU)
    assert segments.history[:, :, 0].tolist() == [[0, 1, 2], [108, 109, 110]]
    torch.testing.assert_close(segments.past_action[:, :, 1, 0], torch.tensor([[0.0, 0.01], [1.08, 1.09]]))
    torch.testing.assert_close(
        segments.action[:, :, 0, 0], torch.tensor([[0.02, 0.03, 0.04, 0.05], [1.1, 1.11, 1.12, 1.13]])
    )
    assert segments.state[:, :, 3].tolist() == [[3, 4, 5, 6], [111, 112, 113, 114]]
    assert segments.observation[1, 0].tolist() == [[1110] * 5] * 2


def test_starts_leave_room_for_the_past_and_the_horizon(tiny_cell):
    learner = DimaLearner(tiny_cell, CPU)
    episodes = [ramp(5), ramp(30)]
    chosen = study(learner, episodes, count=400).starts(episodes, HORIZON)
    assert set(chosen) == {(1, step) for step in range(2, 10)}
    with pytest.raises(UserError, match="No episode of push-mass is long enough for a segment of 23 steps"):
        study(learner, [ramp(22)]).starts([ramp(22)], HORIZON)


def test_the_error_adds_up_over_the_steps():
    segments = cut([ramp(30)], [(0, 2)], 3, 3, CPU)
    predicted = (
        segments.observation
        + torch.tensor([1.0, -2.0, 0.5])[None, :, None, None] * torch.tensor([1.0, 3.0])[:, None]
    )
    np.testing.assert_allclose(cumulative_error(predicted, segments)[0, :, 0], [2.0, 6.0, 7.0])


class Oracle(DirectSampler):
    """A sampler that knows the simulator, except for how strongly it follows each agent."""

    def __init__(self, world_model, gains):
        super().__init__(world_model.denoiser, CPU)
        self.world_model, self.gains = world_model, np.array(gains)[:, None]

    def sample(self, history, actions, _order, _noise):
        state = self.world_model.unscale(history[:, -1]).double().numpy()
        following = next_state(state, actions[:, -1].double().numpy() * self.gains)
        return self.world_model.scale(torch.from_numpy(following).float())


@pytest.fixture
def learner(tiny_cell):
    made = DimaLearner(changed(tiny_cell, denoiser={"dynamics": "deterministic"}), CPU)
    made.run_epoch()
    return made


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.0), (0.25, 0.8)])
def test_the_gain_is_how_strongly_a_model_heeds_an_agent(tiny_cell, learner, gains):
    learner.world_model.sampler = Oracle(learner.world_model, gains)
    episodes = held_out_episodes(learner, tiny_cell.task, 1, 3, keep_simulations=True)
    rows = gain_rows(study(learner, episodes))
    assert [(row["order"], row["agent"], row["position"]) for row in rows] == [("none", 1, 0), ("none", 2, 0)]
    for row, gain in zip(rows, gains, strict=True):
        assert row["gain"] == pytest.approx(gain, abs=2e-3)
        assert row["low"] <= row["gain"] <= row["high"]
        assert row["correlation"] == pytest.approx(1.0 if gain else 0.0, abs=1e-3)


def test_a_perfect_model_errs_by_what_its_decoder_errs(tiny_cell, learner):
    learner.world_model.sampler = Oracle(learner.world_model, (1.0, 1.0))
    rows = prediction_rows(
        study(learner, held_out_episodes(learner, tiny_cell.task, 1, 3)), training_episodes(learner)
    )
    errors = {(row["split"], row["kind"], row["dimension"], row["horizon"]): row["error"] for row in rows}
    assert len(errors) == 2 * 2 * 6 * HORIZON
    for split in ("train", "held-out"):
        for horizon in (1, HORIZON):
            floor = errors[split, "decoder", "mean", horizon]
            assert errors[split, "model", "mean", horizon] == pytest.approx(floor, rel=0.02)
            assert floor == pytest.approx(
                np.mean([errors[split, "decoder", str(number), horizon] for number in range(5)])
            )


def test_the_training_episodes_are_what_was_collected(learner):
    episodes = training_episodes(learner)
    assert [len(episode) for episode in episodes] == [50, 50]
    for episode in episodes:
        np.testing.assert_allclose(
            next_state(episode.state[:-1], episode.action[:-1]), episode.state[1:], atol=1e-6
        )
        assert episode.truncated.tolist() == [False] * 49 + [True]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([1, 1, 0, 0], [2, 1]),
        ([0, 0, 1, 1], [1, 2]),
        ([1, 0, 0, 1], [1, 2]),
        ([2, 0, 1], [2, 3, 1]),
        (None, [0, 0]),
    ],
)
def test_the_place_of_an_agent_is_that_of_its_last_turn(turns, expected):
    assert [place(agent, turns) for agent in range(len(expected))] == expected


def test_the_regression_goes_through_the_origin():
    real = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    found = regression(0.5 * real, real)
    assert (found["gain"], found["correlation"], found["segments"]) == (
        pytest.approx(0.5),
        pytest.approx(1.0),
        3,
    )
    assert found["low"] == pytest.approx(0.5)
    noisy = regression(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), real)
    assert noisy["gain"] == pytest.approx(1 / 15)
    assert noisy["low"] == 0.0
    assert noisy["high"] > 1 / 15


def test_calibration_bins_by_hand(learner, monkeypatch):
    """Rewards predicted one too high; ends predicted at .2 everywhere, and one step of ten is one."""
    model = learner.world_model.reward_model
    known = iter(np.split(np.arange(20, dtype=np.float32), 4))

    def predict(states, actions):
        reward = torch.from_numpy(next(known))[None] + 1
        return reward, torch.full((1, 5, 1), 1.3862944)

    monkeypatch.setattr(model, "forward", predict)
    rows = calibration_rows(study(learner, [ramp(10), ramp(10, 10.0)]), 5)
    reward = [row for row in rows if row["kind"] == "reward"]
    assert [row["count"] for row in reward] == [2] * 10
    for row in reward:
        assert row["predicted"] == pytest.approx(row["observed"] + 1)
        assert row["low"] <= row["predicted"] <= row["high"]
    (end,) = [row for row in rows if row["kind"] == "termination"]
    assert (end["low"], end["high"], end["count"]) == (0.1, 0.25, 20)
    assert end["predicted"] == pytest.approx(0.2, abs=1e-6)
    assert end["observed"] == pytest.approx(0.1)
    assert 0 < end["observed_low"] < 0.1 < end["observed_high"] < 0.4


COLUMNS = {
    "prediction": ["split", "kind", "dimension", "horizon", "error", "std", "segments"],
    "orders": ["order", "horizon", "error", "std", "segments"],
    "gain": ["order", "agent", "position", "gain", "low", "high", "correlation", "segments"],
    "calibration": ["kind", "low", "high", "predicted", "observed", "observed_low", "observed_high", "count"],
}
TINY_STEPS = {"evaluation": {"every": 400, "episodes": 2}}


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("conditioning", ["sequential", "deterministic"])
def test_every_study_of_a_trained_cell(tiny_cell, tmp_path, conditioning):
    dynamics = {"dynamics": "deterministic"} if conditioning == "deterministic" else {}
    config = changed(tiny_cell, denoiser=dynamics)
    run_cell(config, tmp_path, Execution(CPU))
    orders = {"none"} if dynamics else {"descending", "ascending", "random", "2-1-1-2"}
    for name in STUDIES:
        first = run_study(name, config, tmp_path, 8, CPU)
        content = first.read_bytes()
        assert run_study(name, config, tmp_path, 8, CPU).read_bytes() == content
        if name == "frames":
            continue  # test_frames.py looks into them
        with first.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == COLUMNS[name]
        if "order" in rows[0]:
            assert {row["order"] for row in rows} == orders


def test_what_cannot_be_studied_is_refused(tiny, tiny_cell, tmp_path):
    from dima.config.grid import CellKey

    with pytest.raises(UserError, match="has no checkpoint to study"):
        run_study("gain", tiny_cell, tmp_path, 8, CPU)
    with pytest.raises(UserError, match="Method mappo has no world model to study"):
        run_study("gain", tiny.resolve(CellKey("push-mass", "mappo", 1)), tmp_path, 8, CPU)
    for name in set(STUDIES) - {"frames"}:
        with pytest.raises(
            UserError, match=f"Method mamba has no study {name}, since .*; it has frames alone."
        ):
            run_study(name, tiny.resolve(CellKey("push-mass", "mamba", 1)), tmp_path, 8, CPU)


def test_a_study_with_fewer_segments_than_starts_takes_each_once(tiny_cell):
    learner = DimaLearner(tiny_cell, CPU)
    made = study(learner, [ramp(30)], count=8)
    assert len(set(made.starts(made.episodes, HORIZON))) == 8
    assert len(replace(made, count=20).starts(made.episodes, HORIZON)) == 20
