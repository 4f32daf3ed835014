"""MuJoCo Warp on the CPU against MuJoCo's own engine: the same tasks, in tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import envs
from envs.bidexhands.environment import BiDexHands
from envs.scripted import scripted_controller

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed: pip install 'dima[gpu]'")
from envs.bidexhands.warp_environment import WarpBiDexHands

TASKS = ("bottle-cap", "door-open-inward", "door-open-outward", "pen")
CPU = torch.device("cpu")
STEPS = 10  # 20 of the simulation's

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # MuJoCo Warp compiles its kernels when they are first used


def make(task: str = "door-open-outward", num_envs: int = 3) -> WarpBiDexHands:
    return WarpBiDexHands(task, num_envs, 0, "paper", CPU)


def random_actions(steps: int, worlds: int, scale: float = 0.3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-scale, scale, (steps, worlds, 2, 26)).astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_both_engines_agree(task: str) -> None:
    ours, theirs = make(task), BiDexHands(task, 3, 0, "paper")
    for tensor, array in zip(ours.reset(), theirs.reset(), strict=True):
        assert_array_equal(tensor.numpy(), array)
    assert ours.spec.obs_dim == theirs.spec.obs_dim
    assert ours.spec.lineage != theirs.spec.lineage
    for action in random_actions(STEPS, 3):
        got, expected = ours.step(torch.from_numpy(action)), theirs.step(action)
        assert_allclose(got.reward, expected.reward, rtol=0, atol=1e-3)
        assert_array_equal(got.terminated, expected.terminated)
        assert_array_equal(got.info["episode_length"], expected.info["episode_length"])
    positions = torch.stack([torch.from_numpy(data.qpos) for data in theirs.worlds.data])
    assert_allclose(ours.worlds.arrays().qpos, positions, rtol=0, atol=1e-3)
    # Forces in contact are stiff, and scaled by 10: everything else agrees to a thousandth.
    apart = np.abs(got.state.numpy() - expected.state)
    assert (apart < 1e-3).mean() > 0.85
    assert got.obs.dtype == torch.float32


@pytest.mark.parametrize("task", ["bottle-cap", "door-open-outward"])
def test_fingertips_feel_the_same_contacts(task: str) -> None:
    """A script plays until fingertips touch something; the next step from that very state is felt alike in both engines."""
    ours, theirs = make(task, 1), BiDexHands(task, 1, 0, "paper")
    ours.reset()
    _, state = theirs.reset()
    act, data = scripted_controller(theirs.spec), theirs.worlds.data[0]
    for step in range(60):
        before = {name: np.array(getattr(data, name), dtype=np.float32)[None] for name in ("qpos", "qvel", "qacc_warmstart")}
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
    with pytest.raises(envs.NonFiniteError, match="state of world 0 is not finite at step 1 of its episode") as caught:
        env.step(actions[0])
    assert torch.equal(caught.value.result.state[1], twin.step(actions[0]).state[1])
    for action in actions[1:]:
        result, undisturbed = env.step(action), twin.step(action)
        assert torch.equal(result.state[1], undisturbed.state[1])
        assert result.state.isfinite().all()
