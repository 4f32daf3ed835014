"""The adapter against HARL itself: HARL's own constructor and `run()`, worlds vectorised by HARL, the same
numbers bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import envs
from dima.baselines.checkout.harl import HarlProgram
from dima.baselines.harl_learner import HarlLearner
from dima.baselines.harl_on_policy import HarlOnPolicyLearner
from dima.config import CellConfig, HarlOffPolicyParameters, HarlOnPolicyParameters
from dima.config.grid import validate

harl = pytest.importorskip("harl")
upstream = pytest.importorskip("harl.runners.on_policy_base_runner")
off_policy = pytest.importorskip("harl.runners.off_policy_base_runner")
spaces = pytest.importorskip("gymnasium.spaces")

EPOCHS = 2
CASES = [
    pytest.param("push-mass", {}, id="push-mass"),
    pytest.param(
        "push-mass", {"share_parameters": False, "linear_learning_rate_decay": False}, id="own-actors"
    ),
    pytest.param(
        "push-mass",
        {"value_normalization": False, "proper_time_limits": False, "feature_normalization": False},
        id="plain",
    ),
    pytest.param(
        "halfcheetah-2x3", {"clipped_value_loss": False, "activation": "relu"}, id="halfcheetah-2x3"
    ),
    pytest.param("push-mass", {"method": "happo"}, id="happo"),
    pytest.param(
        "push-mass",
        {"method": "happo", "fixed_order": True, "value_normalization": False},
        id="happo-fixed-order",
    ),
    pytest.param("halfcheetah-2x3", {"method": "happo"}, id="happo-halfcheetah-2x3"),
]
OFF_POLICY_CASES = [
    pytest.param("push-mass", {}, id="push-mass"),
    pytest.param(
        "push-mass",
        {"fixed_order": True, "proper_time_limits": False, "replay_capacity": 90},
        id="small-buffer",
    ),
    pytest.param(
        "push-mass",
        {"automatic_temperature": False, "value_normalization": False, "huber_loss": False, "n_step": 1},
        id="fixed-temperature",
    ),
    pytest.param("halfcheetah-2x3", {"linear_learning_rate_decay": False}, id="halfcheetah-2x3"),
]


class OneWorld:
    """World `index` of the cell's worlds as HARL's wrappers show an environment: lists over agents, reset
    from outside."""

    def __init__(self, cell: CellConfig, worlds: int, index: int) -> None:
        self.environment = envs.make(cell.task.name, worlds, cell.seed)
        self.index = index
        spec = self.environment.spec
        self.n_agents = spec.n_agents
        self.observation_space = [spaces.Box(-np.inf, np.inf, (spec.obs_dim,)) for _ in range(spec.n_agents)]
        self.share_observation_space = [
            spaces.Box(-np.inf, np.inf, (spec.state_dim,)) for _ in range(spec.n_agents)
        ]
        self.action_space = [spaces.Box(-1, 1, (spec.act_dim,)) for _ in range(spec.n_agents)]
        self.fresh: tuple[np.ndarray, np.ndarray] | None = None

    def reset(self) -> tuple[Any, ...]:
        if self.fresh is None:
            self.fresh = self.environment.reset()
        return self._show(*self.fresh)

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        actions = np.zeros((self.environment.num_envs, *action.shape), dtype=np.float32)
        actions[self.index] = action
        result = self.environment.step(actions)
        self.fresh = result.obs, result.state
        done = bool(result.terminated[self.index] or result.truncated[self.index])
        info = {"bad_transition": bool(result.truncated[self.index])} if done else {}
        rewards = [[result.reward[self.index]]] * self.n_agents
        obs, share_obs, available = self._show(result.info["final_obs"], result.info["final_state"])
        return (
            obs,
            share_obs,
            rewards,
            [done] * self.n_agents,
            [dict(info) for _ in range(self.n_agents)],
            available,
        )

    def _show(self, obs: np.ndarray, state: np.ndarray) -> tuple[Any, ...]:
        seen = state[self.index].astype(np.float64)
        if self.environment.spec.suite == "mamujoco":
            seen = (seen - np.mean(seen)) / np.std(seen)
        return list(obs[self.index]), [seen] * self.n_agents, None

    def close(self) -> None:
        self.environment.close()


def harls_names(p: HarlOnPolicyParameters) -> dict[str, Any]:
    """The parameters by the names of HARL's YAML, written out independently of the adapter."""
    return {
        "n_rollout_threads": p.rollout_threads,
        "num_env_steps": EPOCHS * p.rollout_threads * p.episode_length,
        "episode_length": p.episode_length,
        "use_valuenorm": p.value_normalization,
        "use_linear_lr_decay": p.linear_learning_rate_decay,
        "use_proper_time_limits": p.proper_time_limits,
        "hidden_sizes": list(p.hidden_sizes),
        "activation_func": p.activation,
        "use_feature_normalization": p.feature_normalization,
        "gain": p.gain,
        "std_x_coef": p.std_x_coefficient,
        "std_y_coef": p.std_y_coefficient,
        "lr": p.learning_rate,
        "critic_lr": p.critic_learning_rate,
        "opti_eps": p.adam_epsilon,
        "weight_decay": p.weight_decay,
        "ppo_epoch": p.ppo_epochs,
        "critic_epoch": p.critic_epochs,
        "clip_param": p.clip,
        "actor_num_mini_batch": p.minibatches,
        "critic_num_mini_batch": p.minibatches,
        "entropy_coef": p.entropy_coefficient,
        "value_loss_coef": p.value_loss_coefficient,
        "max_grad_norm": p.gradient_clip,
        "huber_delta": p.huber_delta,
        "use_clipped_value_loss": p.clipped_value_loss,
        "gamma": p.discount,
        "gae_lambda": p.gae_lambda,
        "share_param": p.share_parameters,
        "fixed_order": p.fixed_order,
    }


def harls_names_off_policy(p: HarlOffPolicyParameters) -> dict[str, Any]:
    """Likewise for HASAC; HARL's budget does not hold the warm-up."""
    return {
        "n_rollout_threads": p.rollout_threads,
        "num_env_steps": EPOCHS * p.rollout_threads * p.train_interval,
        "warmup_steps": p.warmup_steps,
        "train_interval": p.train_interval,
        "update_per_train": p.updates_per_vector_step,
        "use_valuenorm": p.value_normalization,
        "use_linear_lr_decay": p.linear_learning_rate_decay,
        "use_proper_time_limits": p.proper_time_limits,
        "hidden_sizes": list(p.hidden_sizes),
        "activation_func": p.activation,
        "final_activation_func": p.final_activation,
        "lr": p.learning_rate,
        "critic_lr": p.critic_learning_rate,
        "auto_alpha": p.automatic_temperature,
        "alpha": p.temperature,
        "alpha_lr": p.temperature_learning_rate,
        "gamma": p.discount,
        "buffer_size": p.replay_capacity,
        "batch_size": p.batch_size,
        "polyak": p.polyak,
        "n_step": p.n_step,
        "use_huber_loss": p.huber_loss,
        "huber_delta": p.huber_delta,
        "fixed_order": p.fixed_order,
    }


def run_upstream(cell: CellConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """HARL's own runner of the method after its own `run()`; only the worlds come from here."""
    from harl.runners import RUNNER_REGISTRY
    from harl.utils.configs_tools import get_defaults_yaml_args, update_args

    parameters = cell.parameters
    assert isinstance(parameters, HarlOnPolicyParameters | HarlOffPolicyParameters)
    names = (
        harls_names(parameters)
        if isinstance(parameters, HarlOnPolicyParameters)
        else harls_names_off_policy(parameters)
    )
    n_worlds = parameters.rollout_threads
    algo_args, env_args = get_defaults_yaml_args(cell.method, "mamujoco")
    outer = {
        "seed": cell.seed,
        "cuda": False,
        "torch_threads": torch.get_num_threads(),
        "use_eval": False,
        "log_dir": str(folder),
    }
    update_args({**names, **outer, "log_interval": 1}, algo_args)
    put_worlds_into_harl(cell, {"make_train_env": n_worlds}, monkeypatch)
    runner = RUNNER_REGISTRY[cell.method](
        {"algo": cell.method, "env": "mamujoco", "exp_name": "test"}, algo_args, env_args
    )
    runner.run()
    runner.close()
    return runner


def put_worlds_into_harl(cell: CellConfig, numbers: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """HARL's makers of environments give as many worlds of this project as `numbers` says; what HARL changes
    is undone after the test."""
    from harl.envs.env_wrappers import ShareDummyVecEnv

    for maker, number in numbers.items():
        worlds = [lambda index=index, number=number: OneWorld(cell, number, index) for index in range(number)]
        for module in (upstream, off_policy):
            monkeypatch.setattr(module, maker, lambda *_, worlds=worlds: ShareDummyVecEnv(worlds))
            monkeypatch.setattr(module.setproctitle, "setproctitle", lambda _: None)
    monkeypatch.setenv("PYTHONHASHSEED", "0")  # HARL sets it


def assert_equal_tensors(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def assert_equal_actions(learner: HarlOnPolicyLearner, runner: Any) -> None:
    """Deterministic actions as HARL's `eval()` takes them: agent after agent, here on 7 worlds."""
    obs_dim = runner.envs.observation_space[0].shape[0]
    observations = np.random.default_rng(0).normal(size=(7, runner.num_agents, obs_dim)).astype(np.float32)
    rnn_states = np.zeros((7, runner.recurrent_n, runner.rnn_hidden_size), dtype=np.float32)
    ours = learner.act(observations)
    for agent, actor in enumerate(runner.actor):
        theirs, _ = actor.act(
            observations[:, agent], rnn_states, np.ones((7, 1), dtype=np.float32), deterministic=True
        )
        np.testing.assert_array_equal(ours[:, agent], theirs.detach().numpy())


@pytest.mark.parametrize(("task", "changes"), CASES)
def test_two_updates_equal_harls_own_run(
    task: str,
    changes: dict[str, Any],
    make_cell: Callable[..., CellConfig],
    make_learner: Callable[[CellConfig], HarlOnPolicyLearner],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = make_cell(task, seed=3, **changes)
    learner = make_learner(cell)
    scalars = [learner.run_epoch() for _ in range(EPOCHS)][-1]
    state = learner.state_dict()

    runner = run_upstream(cell, tmp_path, monkeypatch)
    for ours, theirs in zip(
        state["actors"], dict.fromkeys(actor.actor for actor in runner.actor), strict=True
    ):
        assert_equal_tensors(ours, theirs.state_dict())
    assert_equal_tensors(state["critic"], runner.critic.critic.state_dict())
    if runner.value_normalizer is not None:
        assert_equal_tensors(state["value_normalizer"], runner.value_normalizer.state_dict())
    assert scalars["rollout"]["reward"] == float(runner.critic_buffer.get_mean_rewards())
    assert_equal_actions(learner, runner)


@pytest.mark.parametrize(("task", "changes"), OFF_POLICY_CASES)
def test_two_rounds_of_hasac_equal_harls_own_run(
    task: str,
    changes: dict[str, Any],
    make_cell: Callable[..., CellConfig],
    make_learner: Callable[[CellConfig], HarlLearner],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Warm-up and two rounds of steps and updates: networks, targets, temperatures and every stored
    transition."""
    cell = make_cell(task, seed=3, method="hasac", env_steps=60 + EPOCHS * 30, **changes)
    learner = make_learner(cell)
    for _ in range(1 + EPOCHS):
        learner.run_epoch()
    state = learner.state_dict()

    runner = run_upstream(cell, tmp_path, monkeypatch)
    assert (learner.env_steps, state["updates"]) == (60 + EPOCHS * 30, runner.total_it)
    for ours, theirs in zip(state["actors"], runner.actor, strict=True):
        assert_equal_tensors(ours, theirs.actor.state_dict())
    for name in ("critic", "critic2", "target_critic", "target_critic2"):
        assert_equal_tensors(state[name], getattr(runner.critic, name).state_dict())
    if cell.parameters.automatic_temperature:
        assert state["temperatures"] == [*runner.log_alpha, runner.critic.log_alpha]
    filled = runner.buffer.cur_size
    assert (state["buffer"]["filled"], state["buffer"]["next_row"]) == (filled, runner.buffer.idx)
    for name in ("share_obs", "next_share_obs", "rewards", "dones", "terms"):
        np.testing.assert_array_equal(state["buffer"][name], getattr(runner.buffer, name)[:filled])
    for name in ("obs", "next_obs", "actions"):
        for ours, theirs in zip(state["buffer"][name], getattr(runner.buffer, name), strict=True):
            np.testing.assert_array_equal(ours, theirs[:filled])
    observations = np.random.default_rng(0).normal(
        size=(7, runner.num_agents, runner.envs.observation_space[0].shape[0])
    )
    theirs = runner.get_actions(observations.astype(np.float32), [None] * 7, add_random=False)
    np.testing.assert_array_equal(learner.act(observations.astype(np.float32)), theirs)


@pytest.mark.parametrize(
    ("method", "env_steps", "expected"),
    [("mappo", 250, [90, 180, 270]), ("happo", 180, [90, 180]), ("hasac", 240, [150, 240])],
)
def test_harl_runs_on_the_configuration_for_a_checkout_and_writes_what_is_read(
    method: str,
    env_steps: int,
    expected: list[int],
    make_cell: Callable[..., CellConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As its `train.py` does, from the written JSON alone: what is misspelt or missing there ends HARL. Only
    the worlds come from here."""
    from harl.runners import RUNNER_REGISTRY

    cell = make_cell(seed=3, env_steps=env_steps, method=method)
    content = cell.model_dump(mode="json") | {"engine": "checkout"}
    content["task"] |= {
        "name": "halfcheetah-2x3",
        "suite": "mamujoco",
        "simulator": "mujoco",
        "evaluation": {"every": 90, "episodes": 4},
    }
    content["parameters"] |= {"algorithm": f"{method}-checkout", "commit": "d539bad"}
    of_checkout = validate(CellConfig, content, "test")
    program = HarlProgram(of_checkout, torch.device("cpu"))
    (tmp_path / "source").symlink_to(Path(harl.__file__).parents[1])
    program.check(tmp_path / "source")
    command = program.prepare(tmp_path)
    told = json.loads(Path(command.arguments[2]).read_text())

    put_worlds_into_harl(cell, {"make_train_env": 3, "make_eval_env": 4}, monkeypatch)
    monkeypatch.setattr(np, "int", int, raising=False)  # which HARL's off-policy evaluation needs
    runner = RUNNER_REGISTRY[method](
        {**told["main_args"], "load_config": ""}, told["algo_args"], told["env_args"]
    )
    runner.run()
    runner.close()
    evaluations = program.read(tmp_path, ended=True)
    assert [evaluation.env_steps for evaluation in evaluations] == expected
    assert all(np.isfinite(evaluation.episode_return) for evaluation in evaluations)
    assert {evaluation.length for evaluation in evaluations} == ({50.0} if method == "hasac" else {None})
    assert (
        len(
            list(
                tmp_path.glob(
                    "results/mamujoco/HalfCheetah-v2-2x3/*/cell/seed-00003-*/models/actor_agent0.pt"
                )
            )
        )
        == 1
    )
