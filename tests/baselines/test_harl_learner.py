"""HARL behind the learner interface: resuming, acting, counting, time limits, divergence."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import envs
from dima.baselines.harl_on_policy import HarlOnPolicyLearner
from dima.config import CellConfig
from dima.config.yaml_file import read_yaml
from dima.errors import DivergedError, UserError
from envs.push_mass import PushMass

REPOSITORY = Path(__file__).parents[2]
MakeCell = Callable[..., CellConfig]
MakeLearner = Callable[[CellConfig], HarlOnPolicyLearner]
PLAIN = {int, float, str, bool, type(None)}


def through_files(tree: Any) -> Any:
    """What a checkpoint gives back: arrays and tensors apart, the rest through JSON. Refuses any other type
    and non-string keys."""
    arrays: list[Any] = []

    def strip(value: Any) -> Any:
        if type(value) is dict:
            assert all(type(key) is str for key in value), list(value)
            return {key: strip(item) for key, item in value.items()}
        if type(value) is list:
            return [strip(item) for item in value]
        if type(value) in (torch.Tensor, np.ndarray):
            arrays.append(copy.deepcopy(value))
            return {"array": len(arrays) - 1}
        assert type(value) in PLAIN, type(value)
        return value

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [fill(item) for item in value]
        if not isinstance(value, dict):
            return value
        return (
            arrays[value["array"]]
            if value.keys() == {"array"}
            else {key: fill(item) for key, item in value.items()}
        )

    return fill(json.loads(json.dumps(strip(tree), allow_nan=False)))


def assert_equal_trees(left: Any, right: Any, path: str = "") -> None:
    assert type(left) is type(right), path
    if isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            assert_equal_trees(left[key], right[key], f"{path}/{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), path
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_equal_trees(one, other, f"{path}/{index}")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), path
    elif isinstance(left, np.ndarray):
        np.testing.assert_array_equal(left, right, err_msg=path)
    else:
        assert left == right, path


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("push-mass", {}),
        ("push-mass", {"share_parameters": False, "value_normalization": False}),
        ("halfcheetah-2x3", {"rollout_threads": 2}),
        ("push-mass", {"method": "happo"}),
        ("push-mass", {"method": "hasac"}),
        (
            "push-mass",
            {
                "method": "hasac",
                "automatic_temperature": False,
                "value_normalization": False,
                "huber_loss": False,
            },
        ),
        ("halfcheetah-2x3", {"method": "hasac"}),
    ],
)
def test_resumed_training_equals_uninterrupted_training(
    task: str, changes: dict[str, Any], make_cell: MakeCell, make_learner: MakeLearner
) -> None:
    """Saved in the middle of an episode and of the learning rate's decay."""
    cell = make_cell(task, env_steps=270, **changes)
    learner = make_learner(cell)
    learner.run_epoch()
    saved = through_files(learner.state_dict())
    expected = [learner.run_epoch(), learner.run_epoch()]

    resumed = make_learner(cell.model_copy(update={"seed": 99}))
    for _ in range(2):
        resumed.run_epoch()
    resumed.load_state_dict(saved)
    torch.rand(5)  # nobody else's draws matter
    assert [resumed.run_epoch(), resumed.run_epoch()] == expected
    assert_equal_trees(resumed.state_dict(), learner.state_dict())


def test_a_saved_state_is_not_moved_by_further_training(
    make_cell: MakeCell, make_learner: MakeLearner
) -> None:
    learner = make_learner(make_cell())
    learner.run_epoch()
    saved = learner.state_dict()
    before = copy.deepcopy(saved)
    learner.run_epoch()
    assert_equal_trees(saved, before)
    learner.load_state_dict(saved)
    learner.run_epoch()
    assert_equal_trees(saved, before)


def test_value_statistics_are_saved_where_harls_own_state_dict_misses_them(
    make_cell: MakeCell, make_learner: MakeLearner
) -> None:
    """On a GPU HARL's normaliser holds plain tensors; here they are made so on the CPU."""
    learners = make_learner(make_cell()), make_learner(make_cell(seed=2))
    for learner in learners:
        normalizer: Any = learner._runner.value_normalizer
        for name in ("running_mean", "running_mean_sq", "debiasing_term"):
            statistic = getattr(normalizer, name).data
            delattr(normalizer, name)
            setattr(normalizer, name, statistic)
        assert normalizer.state_dict() == {}
        learner.run_epoch()
    saved = learners[0].state_dict()
    assert saved["value_normalizer"]["debiasing_term"] == pytest.approx(
        1 - 0.99999**4, rel=1e-2
    )  # 2 epochs of 2 minibatches
    learners[1].load_state_dict(saved)
    assert_equal_trees(learners[1].state_dict(), saved)


def test_acting_is_deterministic_and_leaves_training_and_global_generators_alone(
    make_cell: MakeCell, make_learner: MakeLearner
) -> None:
    learner = make_learner(make_cell())
    learner.run_epoch()
    observations = np.random.default_rng(0).normal(size=(5, 2, 5)).astype(np.float32)
    before, generator = learner.state_dict(), torch.get_rng_state()
    actions = learner.act(observations)
    assert actions.shape == (5, 2, 1)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(learner.act(observations), actions)
    np.testing.assert_allclose(learner.act(observations[3:4]), actions[3:4], rtol=1e-5)
    assert np.ptp(actions) > 0
    assert_equal_trees(learner.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("method", ["mappo", "happo", "hasac"])
def test_acting_takes_one_transfer_to_the_device_and_one_back(
    method: str, make_cell: MakeCell, make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many agents there are, with the actions of HARL's actors asked one by one."""
    learner = make_learner(make_cell(method=method))
    observations = np.random.default_rng(0).normal(size=(5, 2, 5)).astype(np.float32)
    transfers: list[str] = []
    from_numpy, cpu = torch.from_numpy, torch.Tensor.cpu
    monkeypatch.setattr(
        torch, "from_numpy", lambda array: (transfers.append("to the device"), from_numpy(array))[1]
    )
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: (transfers.append("back"), cpu(tensor))[1])
    actions = learner.act(observations)
    assert transfers == ["to the device", "back"]
    for agent, actor in enumerate(learner._runner.actor):
        np.testing.assert_array_equal(actions[:, agent], acted_alone(method, actor, observations[:, agent]))


def acted_alone(method: str, actor: Any, observations: np.ndarray) -> np.ndarray:
    """What one of HARL's actors does with arrays, as HARL calls it."""
    with torch.no_grad():
        if method == "hasac":
            return actor.get_actions(observations, stochastic=False).numpy()
        width = actor.actor.hidden_sizes[-1]
        states, masks = (
            np.zeros((len(observations), 1, width), dtype=np.float32),
            np.ones((len(observations), 1), dtype=np.float32),
        )
        return actor.act(observations, states, masks, deterministic=True)[0].numpy()


def test_epochs_and_environment_steps_are_counted(make_cell: MakeCell, make_learner: MakeLearner) -> None:
    learner = make_learner(make_cell(rollout_threads=4, episode_length=25))
    assert (learner.env_steps, learner.epoch) == (0, 0)
    episodes = [learner.run_epoch()["rollout"] for _ in range(2)]
    assert (learner.env_steps, learner.epoch) == (200, 2)
    assert [rollout["episodes"] for rollout in episodes] == [0, 4]  # of 50 steps, in each of the 4 worlds
    assert "episode_return" not in episodes[0]
    assert episodes[1]["episode_return"] == pytest.approx(
        25 * (episodes[0]["reward"] + episodes[1]["reward"]), rel=1e-4
    )


def test_learning_rate_decays_to_its_last_positive_value_at_the_budget(
    make_cell: MakeCell, make_learner: MakeLearner
) -> None:
    """200 steps of 90 an update are three updates: 3/3, 2/3, 1/3 of the rate, and no less after."""
    learner = make_learner(make_cell(env_steps=200))
    rates = []
    for _ in range(4):
        learner.run_epoch()
        optimizers = learner._runner.actors[0].actor_optimizer, learner._runner.critic.critic_optimizer
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
    expected = np.array([3, 2, 1, 1])[:, None] / 3 * [2e-3, 3e-3]
    np.testing.assert_allclose(rates, expected)


class Ending(PushMass):
    """Push-mass whose world 1 terminates at the 20th step of an episode; the other worlds run to the limit of
    50."""

    def _advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        reward, terminated = super()._advance(actions)
        terminated[1] = self._lengths[1] == 19
        return reward, terminated


def test_time_limits_and_terminations_reach_harls_buffers(
    make_cell: MakeCell, make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time limit: mask 0, bad mask 0, return = V(s), no signal. A termination: mask 0, bad mask 1, return =
    r."""
    monkeypatch.setattr(
        envs, "make", lambda task, worlds, seed, preset, engine: Ending(task, worlds, seed, preset)
    )
    learner = make_learner(make_cell(episode_length=55, value_normalization=False))
    learner.run_epoch()
    buffer = learner._runner.critic_buffer
    ends = {(int(step), int(world)) for step, world, _ in np.argwhere(buffer.masks == 0)}
    assert ends == {(50, 0), (20, 1), (40, 1), (50, 2)}
    limits = {(int(step), int(world)) for step, world, _ in np.argwhere(buffer.bad_masks == 0)}
    assert limits == {(50, 0), (50, 2)}
    for agent_buffer in learner._runner.actor_buffer:
        np.testing.assert_array_equal(agent_buffer.masks, buffer.masks)
    assert buffer.returns[49, 0, 0] == buffer.value_preds[49, 0, 0]
    assert buffer.returns[19, 1, 0] == pytest.approx(buffer.rewards[19, 1, 0], rel=1e-5)


def test_nothing_is_written(
    make_cell: MakeCell, make_learner: MakeLearner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_learner(make_cell()).run_epoch()
    assert list(tmp_path.iterdir()) == []


def test_mappo_learns_push_mass_within_its_budget(make_cell: MakeCell, make_learner: MakeLearner) -> None:
    """The repository's parameters, 4,000 steps; mean return of 20 fresh episodes, of which the best possible
    is below 50."""
    method = read_yaml(REPOSITORY / "workflow/config/methods/mappo.yaml")
    learner = make_learner(
        make_cell(env_steps=4000, **method["parameters"] | method["for_task"]["push-mass"])
    )

    def evaluate() -> float:
        environment = envs.make("push-mass", 20, seed=1000)
        obs, _ = environment.reset()
        total = 0.0
        for _ in range(50):
            obs, _, reward, *_ = environment.step(learner.act(obs))
            total += float(reward.mean())
        return total

    before = evaluate()
    while learner.env_steps < 4000:
        learner.run_epoch()
    assert evaluate() > before + 15


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.parametrize("network", ["actor", "critic"])
def test_a_network_that_is_not_finite_is_divergence(
    network: str, make_cell: MakeCell, make_learner: MakeLearner
) -> None:
    learner = make_learner(make_cell())
    weights = {"actor": learner._runner.actors[0].actor, "critic": learner._runner.critic.critic}[network]
    next(weights.parameters()).data.fill_(torch.nan)
    with pytest.raises(DivergedError, match="MAPPO diverged in epoch 1: "):
        learner.run_epoch()


def test_only_numbers_are_divergence(
    make_cell: MakeCell, make_learner: MakeLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulation that is not finite, and no other error of the environment."""
    learner = make_learner(make_cell())

    def fail_with(error: Exception) -> None:
        def step(actions: np.ndarray) -> None:
            raise error

        monkeypatch.setattr(learner.worlds.environment, "step", step)

    fail_with(envs.NonFiniteError("the state of world 1 is not finite", worlds=[1], step=2))
    with pytest.raises(DivergedError, match="the state of world 1 is not finite"):
        learner.run_epoch()
    fail_with(envs.InvalidArgumentError("the actions have another shape"))
    with pytest.raises(envs.InvalidArgumentError):
        learner.run_epoch()
    assert (learner.epoch, learner.env_steps) == (0, 0)


def test_missing_extra_is_one_sentence(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harl", None)
    with pytest.raises(UserError) as error:
        HarlOnPolicyLearner(make_cell(), torch.device("cpu"))
    assert (
        str(error.value)
        == "Method mappo runs the real HARL, which is not installed: pip install -e '.[harl]'."
    )
