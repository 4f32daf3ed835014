"""Collecting plays whole episodes at once: the same bits as an environment that is stepped and a policy that
is asked, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import envs
from dima.behavior.networks import Actor, DirectPolicy, SampledPolicy
from dima.cell.checkpoint import pack
from dima.config import CollectionConfig
from dima.config.grid import CellKey, load_grid
from dima.experience.collect import Collector
from dima.experience.random import stream_seed

TASKS = [
    "push-mass",
    "push-mass-coupled",
    "halfcheetah-2x3",
    "walker2d-2x3",
    "ant-4x2",
    pytest.param("pen", marks=pytest.mark.slow),
]
FIELDS = ("state", "observation", "action", "reward", "terminated", "truncated", "next_state")


SCHEDULE = CollectionConfig(
    epoch_trigger="episode_end", min_new_steps=100, warmup_steps=15, warmup_policy="actor"
)


def cell(task):
    found = load_grid("paper").resolve(CellKey("halfcheetah-2x3", "dima", 3))
    spec = envs.make(task).spec
    simulator = "numpy" if spec.suite == "toy" else "mujoco"
    changes = {
        "name": task,
        "agents": spec.n_agents,
        "preset": spec.preset,
        "simulator": simulator,
        "env_steps": 10_000,
    }
    return found.model_copy(update={"task": found.task.model_copy(update=changes)})


def collector_of(config, **schedule):
    return Collector(config, SCHEDULE.model_copy(update=schedule))


def actor_of(spec):
    torch.manual_seed(0)
    actor = Actor(spec.obs_dim, spec.act_dim, (64, 64))
    for parameter in actor.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return actor


def collected(collector, policy, env_steps, epochs):
    """What is stored of so many epochs, one after the other, and what else they say."""
    stored, reports = [], []
    for _ in range(epochs):
        new_steps, report = collector.collect(
            policy, env_steps, lambda part, continues: stored.append((part, continues))
        )
        env_steps += new_steps
        reports.append(report)
    rows = {name: np.concatenate([getattr(part, name).numpy() for part, _ in stored]) for name in FIELDS}
    return rows, [continues for _, continues in stored], reports, env_steps


def stepped(config, count, warmup=0):
    """`count` steps, each by itself; the first `warmup` ones uniform."""
    task = config.task
    environment = envs.make(
        task.name, seed=stream_seed(config.seed, "environment"), preset=task.preset, engine=task.simulator
    )
    policy, noise = (
        SampledPolicy(actor_of(environment.spec)),
        np.random.Generator(np.random.PCG64(stream_seed(config.seed, "exploration"))),
    )
    shape = (1, environment.spec.n_agents, environment.spec.act_dim)
    rows, returns = {name: [] for name in FIELDS}, []
    observation, state = environment.reset()
    for step in range(count):
        if step < warmup:
            action = noise.uniform(-1.0, 1.0, shape).astype(np.float32)
        else:
            action = policy(observation, noise.standard_normal(shape, dtype=np.float32))
        result = environment.step(action)
        row = (
            state,
            observation,
            action,
            result.reward,
            result.terminated,
            result.truncated,
            result.info["final_state"],
        )
        for name, value in zip(FIELDS, row, strict=True):
            rows[name].append(value[0])
        if result.terminated[0] or result.truncated[0]:
            returns.append(float(result.info["episode_return"][0]))
        observation, state = result.obs, result.state
    return {name: np.stack(values) for name, values in rows.items()}, returns


def assert_same_bits(ours, theirs):
    for name in FIELDS:
        assert ours[name].dtype == theirs[name].dtype
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.parametrize("task", TASKS)
def test_whole_episodes_are_those_of_single_steps(task):
    """Walker2d falls after some 27 steps, Ant after some hundreds, the pen drops; others last to the limit.
    Returns are the same sums."""
    config = cell(task)
    collector = collector_of(config)
    rows, continues, reports, env_steps = collected(collector, DirectPolicy(actor_of(collector.spec)), 0, 2)
    expected, returns = stepped(config, env_steps)
    assert_same_bits(rows, expected)
    assert not any(continues)
    assert sum(report["episodes"] for report in reports) == len(returns)
    count = reports[0]["episodes"]
    assert [report["episode_return"] for report in reports] == [
        np.mean(returns[:count]),
        np.mean(returns[count:]),
    ]
    assert (task in ("walker2d-2x3", "ant-4x2", "pen")) == bool(expected["terminated"].any())


def test_a_random_warm_up_ends_within_an_episode():
    config = cell("walker2d-2x3")
    collector = collector_of(config, warmup_steps=64, warmup_policy="random")
    rows, *_, env_steps = collected(collector, DirectPolicy(actor_of(collector.spec)), 0, 2)
    expected, _ = stepped(config, env_steps, warmup=64)
    assert_same_bits(rows, expected)
    assert not (expected["terminated"] | expected["truncated"])[63]


@pytest.mark.parametrize("task", ["push-mass", "walker2d-2x3"])
def test_parts_of_episodes_continue_also_in_another_process(task):
    """Epochs of 70 steps cut episodes; the second and third begin from what a checkpoint holds."""
    config = cell(task)
    parts, env_steps, state, begins = [], 0, None, []
    for _ in range(3):
        collector = collector_of(config, epoch_trigger="fixed_steps", min_new_steps=70)
        if state is not None:
            collector.load_state_dict(state)
        rows, continues, _, env_steps = collected(
            collector, DirectPolicy(actor_of(collector.spec)), env_steps, 1
        )
        parts.append(rows)
        begins.append(continues[0])
        state = collector.state_dict()
        assert pack(state).content == pack(collector.state_dict()).content
        collector.play(None, 3)  # what is done after the checkpoint is not in it
    assert env_steps == 210
    joined = {name: np.concatenate([rows[name] for rows in parts]) for name in FIELDS}
    expected, _ = stepped(config, env_steps)
    assert_same_bits(joined, expected)
    ends = expected["terminated"] | expected["truncated"]
    assert begins == [False, not ends[69], not ends[139]]


def test_a_policy_that_remembers_is_told_of_every_start():
    """`at_start` holds at the first step of every episode, whoever takes it, and at no other."""
    collector = collector_of(cell("push-mass"), warmup_steps=20, warmup_policy="random")
    starts = []

    def policy(observation, noise):
        starts.append(collector.at_start)
        return noise

    collected(collector, policy, 0, 1)
    assert starts == [step % 50 == 0 for step in range(20, 100)]


class Breaking:
    """Does harm at one step of an episode; otherwise the action is the noise."""

    def __init__(self, collector, step, harm):
        self.collector, self.left, self.harm = collector, step, harm

    def __call__(self, observation, noise):
        self.left -= 1
        return self.harm(self.collector.environment, noise) if self.left == 0 else noise


def action(environment, noise):
    return np.full_like(noise, np.nan)


def velocity(environment, noise):
    environment.robots.qvel[0, 3] = np.nan
    return noise


@pytest.mark.parametrize(("harm", "what"), [(action, "the action"), (velocity, "the state")])
@pytest.mark.parametrize("step", [1, 7])
def test_what_is_not_finite_is_named_with_its_step_and_the_world_goes_on(harm, what, step):
    collector = collector_of(cell("halfcheetah-2x3"))
    with pytest.raises(
        envs.NonFiniteError, match=f"{what} of world 0 is not finite at step {step} of its episode$"
    ) as caught:
        collector.collect(Breaking(collector, step, harm), 0, lambda part, continues: None)
    assert (caught.value.worlds, caught.value.step) == ((0,), step)
    environment = collector.environment
    result = environment.step(np.zeros((1, 2, 3), dtype=np.float32))
    assert result.info["episode_length"] == [1]
    assert np.isfinite(result.state).all()


def test_one_world_is_played():
    environment = envs.make("push-mass", 2)
    obs, state = environment.reset()
    with pytest.raises(envs.InvalidArgumentError, match="play steps a single world, this environment has 2"):
        environment.play(lambda obs, step: obs[:, :, :1], 3, obs, state)
