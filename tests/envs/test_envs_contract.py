"""What holds for every registered task; a new registration is tested by being registered."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs

DIMENSIONS = {  # agents, observation, state, action, episode limit, suite
    ("push-mass", "paper"): (2, 5, 6, 1, 50, "toy"),
    ("push-mass-coupled", "paper"): (2, 8, 6, 1, 50, "toy"),
    ("ant-2x4", "paper"): (2, 113, 111, 4, 1000, "mamujoco"),
    ("ant-4x2", "paper"): (4, 115, 111, 2, 1000, "mamujoco"),
    ("halfcheetah-2x3", "paper"): (2, 19, 17, 3, 1000, "mamujoco"),
    ("halfcheetah-3x2", "paper"): (3, 20, 17, 2, 1000, "mamujoco"),
    ("halfcheetah-6x1", "paper"): (6, 23, 17, 1, 1000, "mamujoco"),
    ("walker2d-2x3", "paper"): (2, 19, 17, 3, 1000, "mamujoco"),
    ("walker2d-3x2", "paper"): (3, 20, 17, 2, 1000, "mamujoco"),
    # Neighbours one joint away are seen; agents that see less than the widest view are padded with zeros.
    ("ant-2x4", "gymnasium-robotics"): (2, 63, 105, 4, 1000, "mamujoco"),
    ("ant-4x2", "gymnasium-robotics"): (4, 42, 105, 2, 1000, "mamujoco"),
    ("halfcheetah-2x3", "gymnasium-robotics"): (2, 12, 17, 3, 1000, "mamujoco"),
    ("halfcheetah-3x2", "gymnasium-robotics"): (3, 12, 17, 2, 1000, "mamujoco"),
    ("halfcheetah-6x1", "gymnasium-robotics"): (6, 9, 17, 1, 1000, "mamujoco"),
    ("walker2d-2x3", "gymnasium-robotics"): (2, 12, 17, 3, 1000, "mamujoco"),
    ("walker2d-3x2", "gymnasium-robotics"): (3, 12, 17, 2, 1000, "mamujoco"),
    ("bottle-cap", "v1"): (2, 221, 420, 26, 125, "bidexhands"),
    ("door-open-inward", "v1"): (2, 218, 417, 26, 250, "bidexhands"),
    ("door-open-outward", "v1"): (2, 218, 417, 26, 250, "bidexhands"),
    ("pen", "v1"): (2, 218, 417, 26, 125, "bidexhands"),
}


class Made:
    """A task with one of its presets, built like `envs.make` builds it."""

    def __init__(self, task: str, preset: str) -> None:
        self.task, self.preset = task, preset
        self.dimensions = DIMENSIONS[task, preset]
        self.has_success = self.dimensions[-1] == "bidexhands"
        # Every noise scale of the dexterous hands' reset is 0.
        self.random_start = not self.has_success

    def __call__(self, num_envs: int = 1, seed: int = 0) -> envs.BatchedEnvironment:
        return envs.make(self.task, num_envs, seed, self.preset)


def read_apart(registration: envs.Registration) -> tuple[str, ...]:
    """A task's presets that other code runs: the hands' are versions of the same code's constants."""
    return registration.presets[:1] if registration.suite == "bidexhands" else registration.presets


PRESETS = [
    pytest.param(
        (task, preset), id=f"{task}/{preset}", marks=pytest.mark.xdist_group(f"contract of {task}/{preset}")
    )
    for task, entry in sorted(envs.TASKS.items())
    for preset in read_apart(entry)
]
"""A group each, so that one process takes what is rolled out once."""


@pytest.fixture(params=PRESETS)
def make(request: pytest.FixtureRequest) -> Made:
    return Made(*request.param)


def random_actions(env: envs.BatchedEnvironment, steps: int) -> np.ndarray:
    """The same numbers for the first worlds whatever the number of worlds."""
    shape = (steps, env.spec.n_agents, env.spec.act_dim)
    worlds = [np.random.default_rng(world).uniform(-1, 1, shape) for world in range(env.num_envs)]
    return np.stack(worlds, axis=1).astype(np.float32)


def flat(result: envs.StepResult) -> dict[str, np.ndarray]:
    return {key: value for key, value in result._asdict().items() if key != "info"} | result.info


def roll(env: envs.BatchedEnvironment, actions: np.ndarray) -> dict[str, np.ndarray]:
    """Every number of the steps, [steps, worlds, ...]."""
    steps = [flat(env.step(action)) for action in actions]
    return {key: np.stack([step[key] for step in steps]) for key in steps[0]}


class Rolled(NamedTuple):
    """Two worlds from seed 5, through their first episodes and on: taken once for all tests that compare with
    them."""

    actions: np.ndarray
    numbers: dict[str, np.ndarray]
    middle: int
    """Half an episode, where `saved` was taken."""
    saved: dict[str, Any]


@cache
def rolled(task: str, preset: str) -> Rolled:
    env = envs.make(task, 2, 5, preset)
    env.reset()
    limit = env.spec.episode_limit
    actions = random_actions(env, 2 * limit + 1)
    before = roll(env, actions[: limit // 2])
    saved = env.get_sim_state()
    after = roll(env, actions[limit // 2 :])
    return Rolled(
        actions, {key: np.concatenate([before[key], after[key]]) for key in before}, limit // 2, saved
    )


def through_storage(saved: Any) -> Any:
    """What a checkpoint does: arrays as they are, everything else through JSON."""
    if isinstance(saved, dict):
        return {key: through_storage(value) for key, value in saved.items()}
    if isinstance(saved, np.ndarray):
        return saved.copy()
    return json.loads(json.dumps(saved))


def test_dimensions_and_types(make: Made) -> None:
    env = make(3)
    spec = env.spec
    assert (
        spec.n_agents,
        spec.obs_dim,
        spec.state_dim,
        spec.act_dim,
        spec.episode_limit,
        spec.suite,
    ) == make.dimensions
    assert (spec.task, spec.suite, spec.preset) == (make.task, envs.TASKS[make.task].suite, make.preset)
    obs, state = env.reset()
    result = env.step(random_actions(env, 1)[0])
    for observed in (obs, result.obs, result.info["final_obs"]):
        assert observed.shape == (3, spec.n_agents, spec.obs_dim)
        assert observed.dtype == np.float32
    for seen in (state, result.state, result.info["final_state"]):
        assert seen.shape == (3, spec.state_dim)
        assert seen.dtype == np.float32
    assert (result.reward.shape, result.reward.dtype) == ((3,), np.float32)
    assert result.terminated.dtype == result.truncated.dtype == np.bool_
    assert result.terminated.shape == result.truncated.shape == (3,)
    success = {"success"} if make.has_success else set()
    assert set(result.info) == {"final_obs", "final_state", "episode_return", "episode_length"} | success
    for name in success:
        assert (result.info[name].shape, result.info[name].dtype) == ((3,), np.bool_)


@pytest.mark.slow
@pytest.mark.remembered
def test_the_seed_decides_every_number(make: Made) -> None:
    first, second, other = make(2, seed=5), make(2, seed=0), make(2, seed=8)
    starts = [env.reset(seed)[1] for env, seed in ((first, None), (second, 5), (other, None))]
    assert_array_equal(starts[0], starts[1])
    assert np.isin(starts[0][:, 0], starts[2][:, 0]).any() != make.random_start
    expected = rolled(make.task, make.preset)
    steps = first.spec.episode_limit + 5
    again = roll(second, expected.actions[:steps])
    for key, numbers in expected.numbers.items():
        assert_array_equal(again[key], numbers[:steps], err_msg=key)


def test_worlds_that_start_afresh_do_what_new_ones_would(make: Made) -> None:
    """Whatever was played in them before: as many bits as the engine keeps, its warm start among them, are
    compared."""
    used, new = make(2, seed=3), make(2, seed=7)
    assert used.starts_afresh
    actions = random_actions(used, min(used.spec.episode_limit + 20, 120))
    used.reset()
    roll(used, actions[:-7])  # in the middle of an episode
    starts = used.reset(7), new.reset()
    for ours, theirs in zip(*starts, strict=True):
        assert_array_equal(ours, theirs)
    one, two = roll(used, actions[::-1]), roll(new, actions[::-1])
    for key in one:
        assert_array_equal(one[key], two[key], err_msg=key)
    saved = used.get_sim_state(), new.get_sim_state()
    for name, theirs in saved[1]["engine_state"].items():
        assert saved[0]["engine_state"][name].tobytes() == theirs.tobytes(), name


def test_playing_is_stepping(make: Made) -> None:
    """The same bits, in parts of any length and through the ends of episodes, and the simulation is then the
    same."""
    played, twin = make(1, seed=4), make(1, seed=4)
    limit = 45
    for env in (played, twin):
        env.spec = replace(env.spec, episode_limit=limit)
    actions = random_actions(played, limit + 20)
    starts, taken = [env.reset() for env in (played, twin)], 0
    for length in itertools.cycle((1, 37, limit)):
        steps = min(length, len(actions) - taken)
        ours = played.play(lambda obs, step, first=taken: actions[first + step], steps, *starts[0])
        theirs = envs.BatchedEnvironment.play(
            twin, lambda obs, step, first=taken: actions[first + step], steps, *starts[1]
        )
        for name, value in theirs._asdict().items():
            assert_array_equal(getattr(ours, name), value, err_msg=name)
            assert getattr(getattr(ours, name), "dtype", None) == getattr(value, "dtype", None)
        starts = [(part.next_obs, part.next_state) for part in (ours, theirs)]
        taken += len(ours.reward)
        if taken == len(actions):
            break
    saved = [pickle.dumps(env.get_sim_state()) for env in (played, twin)]
    assert saved[0] == saved[1]


def test_a_reset_without_a_seed_draws_new_episodes_from_the_same_stream(make: Made) -> None:
    env, twin = make(2, seed=3), make(2, seed=3)
    drawn = [env.reset()[1] for _ in range(3)]
    again = [twin.reset()[1] for _ in range(3)]
    assert_array_equal(drawn, again)
    assert len(np.unique([state[:, 0] for state in drawn])) == (6 if make.random_start else 1)


@pytest.mark.slow
@pytest.mark.remembered
def test_a_world_does_not_depend_on_how_many_there_are(make: Made) -> None:
    many = make(3, seed=5)
    many.reset()
    steps = many.spec.episode_limit + 5
    large = roll(many, random_actions(many, steps))
    for key, numbers in rolled(make.task, make.preset).numbers.items():
        assert_array_equal(large[key][:, :2], numbers[:steps], err_msg=key)
    assert not np.array_equal(large["state"][:, 0], large["state"][:, 1])


@pytest.mark.slow
@pytest.mark.remembered
def test_episodes_end_and_start_within_one_step(make: Made) -> None:
    limit = make.dimensions[4]
    numbers = rolled(make.task, make.preset).numbers
    ended = numbers["terminated"] | numbers["truncated"]
    assert ended.any(axis=0).all()
    assert not (numbers["terminated"] & numbers["truncated"]).any()
    assert_array_equal(numbers["truncated"], ended & ~numbers["terminated"])
    assert (numbers["episode_length"][numbers["truncated"]] == limit).all()
    assert numbers["episode_length"].max() <= limit
    for key, final in (("state", "final_state"), ("obs", "final_obs")):
        assert_array_equal(numbers[key][~ended], numbers[final][~ended])
        changed = (numbers[key] != numbers[final]).reshape(*ended.shape, -1).any(axis=2)
        assert changed[ended].all()
    for world in range(2):
        start, lengths = 0, numbers["episode_length"][:, world]
        for end in np.flatnonzero(ended[:, world]):
            assert_array_equal(lengths[start : end + 1], np.arange(1, end - start + 2))
            assert_allclose(
                numbers["episode_return"][end, world],
                numbers["reward"][start : end + 1, world].sum(),
                rtol=1e-4,
            )
            start = end + 1
    assert all(np.isfinite(value).all() for value in numbers.values())


@pytest.mark.slow
@pytest.mark.remembered
def test_a_saved_simulation_goes_on_bit_for_bit_in_a_fresh_environment(make: Made) -> None:
    actions, numbers, middle, saved = rolled(make.task, make.preset)
    limit = make.dimensions[4]
    expected = {key: values[middle : middle + limit] for key, values in numbers.items()}
    assert (expected["terminated"] | expected["truncated"]).any()

    fresh = make(2, seed=99)
    fresh.set_sim_state(through_storage(saved))
    resumed = roll(fresh, actions[middle : middle + limit])
    for key, values in expected.items():
        assert_array_equal(resumed[key], values, err_msg=key)

    fresh.set_sim_state(saved)
    rewound = roll(fresh, actions[middle : middle + 30])
    assert_array_equal(rewound["state"], expected["state"][:30])


def test_callers_and_worlds_share_no_memory(make: Made) -> None:
    env, twin = make(2), make(2)
    for array in env.reset():
        array.fill(np.nan)
    twin.reset()
    for action in random_actions(env, 5):
        given = action.copy()
        spoiled, clean = flat(env.step(given)), flat(twin.step(action))
        assert_array_equal(given, action)
        for key in clean:
            assert_array_equal(spoiled[key], clean[key], err_msg=key)
            spoiled[key].fill(1)
        given.fill(np.nan)


def test_a_non_finite_action_is_refused_before_anything_moves(make: Made) -> None:
    env, twin = make(3), make(3)
    env.reset()
    twin.reset()
    actions = random_actions(env, 4)
    roll(env, actions[:3])
    roll(twin, actions[:3])
    for value in (np.nan, np.inf):
        broken = actions[3].copy()
        broken[2, 1, 0] = value
        with pytest.raises(
            envs.NonFiniteError, match="action of world 2 is not finite at step 4 of its episode"
        ) as caught:
            env.step(broken)
        assert (caught.value.world, caught.value.step, caught.value.result) == (2, 4, None)
    assert_array_equal(env.step(actions[3]).state, twin.step(actions[3]).state)


def test_wrong_shapes_are_refused(make: Made) -> None:
    env = make(2)
    env.reset()
    right = random_actions(env, 1)[0]
    expected = rf"\(2, {env.spec.n_agents}, {env.spec.act_dim}\)"
    takes = rf"actions have shape \(.*takes \(worlds, agents, action\) = {expected}"
    for wrong in (right[:1], right[:, :1], np.concatenate([right, right], axis=2)):
        with pytest.raises(envs.InvalidArgumentError, match=takes):
            env.step(wrong)


def test_stepping_or_saving_before_a_reset_is_refused(make: Made) -> None:
    env = make()
    with pytest.raises(envs.InvalidArgumentError, match=r"call reset\(\)"):
        env.step(random_actions(env, 1)[0])
    with pytest.raises(envs.InvalidArgumentError, match=r"call reset\(\)"):
        env.get_sim_state()


def test_a_saved_simulation_of_another_kind_is_refused(make: Made) -> None:
    env = make(2)
    env.reset()
    saved = env.get_sim_state()
    with pytest.raises(envs.SimStateMismatchError, match="num_envs 2, this environment has 3"):
        make(3).set_sim_state(saved)
    with pytest.raises(envs.SimStateMismatchError, match="lineage 'older'"):
        env.set_sim_state(saved | {"lineage": "older"})
    twin = make(2)
    twin.reset()
    broken = [
        {name: value for name, value in saved.items() if name != absent}
        for absent in ("engine_state", "random", "lengths")
    ]
    broken.append(
        saved | {"engine_state": {name: value[:1] for name, value in saved["engine_state"].items()}}
    )
    for state in ({}, *broken):
        with pytest.raises(envs.SimStateMismatchError):
            env.set_sim_state(state)
    actions = random_actions(env, 1)[0]
    assert_array_equal(env.step(actions).state, twin.step(actions).state)
