"""MuJoCo Warp on the CPU against MuJoCo's own engine: the same tasks, in tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs.bidexhands.environment import BiDexHands
from envs.bidexhands.layout import hand_slice
from envs.scripted import scripted_controller

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed: pip install -e '.[gpu]'")
from envs.bidexhands import warp_worlds
from envs.bidexhands.warp_environment import WarpBiDexHands

TASKS = ("bottle-cap", "door-open-inward", "door-open-outward", "pen")
CPU = torch.device("cpu")
STEPS = 10  # 20 of the simulation's

pytestmark = [
    pytest.mark.slow,
    pytest.mark.remembered,
    pytest.mark.timeout(900),
]  # MuJoCo Warp compiles its kernels when they are first used


def make(task: str = "door-open-outward", num_envs: int = 3) -> WarpBiDexHands:
    return WarpBiDexHands(task, num_envs, 0, "v1", CPU)


def random_actions(steps: int, worlds: int, scale: float = 0.3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-scale, scale, (steps, worlds, 2, 26)).astype(np.float32)


def without_forces(state: np.ndarray) -> np.ndarray:
    """The state but for what is stiff in contact: joint forces and fingertip wrenches, 10 times what they
    are."""
    stiff = [hand_slice(hand, field) for hand in (0, 1) for field in ("joint_forces", "fingertip_wrenches")]
    return np.delete(state, np.r_[tuple(stiff)], axis=1)


@pytest.mark.parametrize("task", TASKS)
def test_both_engines_agree(task: str) -> None:
    """20 steps of the simulation, in world 0 by the task's script, in the others by chance."""
    ours, theirs = make(task), BiDexHands(task, 3, 0, "v1")
    for tensor, array in zip(ours.reset(), theirs.reset(), strict=True):
        assert_array_equal(tensor.numpy(), array)
    assert ours.spec.obs_dim == theirs.spec.obs_dim
    assert ours.spec.lineage != theirs.spec.lineage
    act, (_, state) = scripted_controller(theirs.spec), theirs.reset()
    for step, action in enumerate(random_actions(STEPS, 3)):
        action[0] = act(state[:1], np.array([step]))[0]
        got, expected = ours.step(torch.from_numpy(action)), theirs.step(action)
        state = expected.state
        assert_allclose(got.reward, expected.reward, rtol=0, atol=1e-3)
        assert_array_equal(got.terminated, expected.terminated)
        assert_array_equal(got.info["episode_length"], expected.info["episode_length"])
    positions = torch.stack([torch.from_numpy(data.qpos) for data in theirs.worlds.data])
    assert_allclose(ours.worlds.arrays().qpos, positions, rtol=0, atol=1e-3)
    assert_allclose(without_forces(got.state.numpy()), without_forces(expected.state), rtol=0, atol=5e-3)
    assert got.obs.dtype == torch.float32


def test_a_crowded_world_is_named_and_the_others_live_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for hardly more than what holds at rest, the world whose hand closes around the bottle has
    too many constraints."""
    monkeypatch.setattr(warp_worlds, "CONSTRAINTS", 104)
    env, twin = make("bottle-cap", 2), BiDexHands("bottle-cap", 2, 0, "v1")
    env.reset()
    twin.reset()
    actions = np.zeros((2, 2, 26), dtype=np.float32)
    actions[1, 1, 8:] = 0.9
    caught, step = None, 0
    while caught is None and step < 30:
        step += 1
        expected = twin.step(actions)
        try:
            env.step(torch.from_numpy(actions))
        except envs.CrowdedError as error:
            caught = error
    assert caught is not None
    assert f"world 1 has more contacts than there is room for (128, 640 constraints) at step {step}" in str(
        caught
    )
    assert (caught.worlds, caught.step) == ((1,), step)
    result = caught.result
    assert result is not None
    assert result.truncated.tolist() == [False, True]
    assert result.info["episode_length"].tolist() == [step, step]
    assert_allclose(result.reward[0], expected.reward[0], rtol=0, atol=1e-2)
    result = env.step(torch.zeros(2, 2, 26))
    assert result.info["episode_length"].tolist() == [step + 1, 1]


def test_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    env, twin = make("pen", 2), BiDexHands("pen", 2, 0, "v1")
    env.reset()
    twin.reset()
    try:
        expected = twin.render(1)
    except envs.MissingGraphicsError as error:
        pytest.skip(str(error))
    assert np.abs(env.render(1).astype(int) - expected).mean() < 0.5
    (seen,) = env.render_states(env.step(torch.zeros(2, 2, 26)).state[:1])
    assert seen.std() > 10
    for other in (env, twin):
        other.close()


@pytest.mark.parametrize("task", ["bottle-cap", "door-open-outward"])
def test_fingertips_feel_the_same_contacts(task: str) -> None:
    """A script plays until fingertips touch something; the next step from that very state is felt alike in
    both engines."""
    ours, theirs = make(task, 1), BiDexHands(task, 1, 0, "v1")
    ours.reset()
    _, state = theirs.reset()
    act, data = scripted_controller(theirs.spec), theirs.worlds.data[0]
    for step in range(60):
        before = {
            name: np.array(getattr(data, name), dtype=np.float32)[None]
            for name in ("qpos", "qvel", "qacc_warmstart")
        }
        action = act(state, np.array([step]))
        state = theirs.step(action).state
        felt = theirs.readings().fingertip_wrenches
        if np.abs(felt).max() > 0.5:
            break
    assert np.abs(felt).max() > 0.5
    saved = ours.get_sim_state()
    saved["worlds"] |= before
    ours.set_sim_state(saved)
    ours.step(torch.from_numpy(action))
    assert_allclose(ours.worlds.arrays().wrenches, felt, rtol=0, atol=0.02 * np.abs(felt).max())


def test_episodes_end_and_begin_by_themselves() -> None:
    """World 0 throws its hands away and fails; world 1 stands still to the limit."""
    env = make("door-open-outward", 2)
    first, _ = env.reset()
    actions = torch.zeros(2, 2, 26)
    actions[0, :, 0] = 1.0
    lengths, ends = [], []
    for _ in range(env.spec.episode_limit):
        result = env.step(actions)
        lengths.append(result.info["episode_length"].clone())
        ends.append(torch.stack([result.terminated, result.truncated], dim=1))
    ended = torch.stack(ends)
    assert ended[:, 0, 0].any()
    assert not ended[:-1, 1].any()
    assert ended[-1, 1].tolist() == [False, True]
    assert torch.equal(result.obs[1], first[1])
    assert not torch.equal(result.info["final_obs"][1], first[1])
    fall = int(ended[:, 0, 0].nonzero()[0])
    assert lengths[fall][0] == fall + 1
    assert lengths[fall + 1][0] == 1


def test_worlds_go_on_from_a_saved_state() -> None:
    env, other = make(num_envs=2), make(num_envs=2)
    env.reset()
    actions = torch.from_numpy(random_actions(6, 2))
    for action in actions[:3]:
        env.step(action)
    saved = env.get_sim_state()
    expected = [env.step(action) for action in actions[3:]]
    other.set_sim_state(saved)
    for action, step in zip(actions[3:], expected, strict=True):
        again = other.step(action)
        assert torch.equal(again.state, step.state)
        assert torch.equal(again.info["episode_return"], step.info["episode_return"])
    with pytest.raises(envs.SimStateMismatchError, match="num_envs 2, this environment has 3"):
        make(num_envs=3).set_sim_state(saved)


def test_bad_actions_are_refused() -> None:
    env = make(num_envs=2)
    env.reset()
    with pytest.raises(envs.InvalidArgumentError, match=r"have shape \(2, 2, 25\)"):
        env.step(torch.zeros(2, 2, 25))
    broken = torch.zeros(2, 2, 26)
    broken[1, 0, 3] = torch.nan
    with pytest.raises(envs.NonFiniteError, match="action of world 1 is not finite at step 1 of its episode"):
        env.step(broken)


def test_a_broken_world_is_named_and_the_others_live_on() -> None:
    env, twin = make(num_envs=2), make(num_envs=2)
    env.reset()
    twin.reset()
    saved = env.get_sim_state()
    saved["worlds"]["qvel"][0, 3] = np.nan
    env.set_sim_state(saved)
    actions = torch.from_numpy(random_actions(3, 2))
    with pytest.raises(
        envs.NonFiniteError, match="state of world 0 is not finite at step 1 of its episode"
    ) as caught:
        env.step(actions[0])
    assert torch.equal(caught.value.result.state[1], twin.step(actions[0]).state[1])
    for action in actions[1:]:
        result, undisturbed = env.step(action), twin.step(action)
        assert torch.equal(result.state[1], undisturbed.state[1])
        assert result.state.isfinite().all()
