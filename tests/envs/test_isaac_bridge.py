"""The bridge to Isaac Gym against a stand-in that checks the calls it gets; Isaac Gym itself was not run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import envs
import envs.retry
from envs.isaac_bridge import connection
from envs.isaac_bridge.client import ACT_DIM, TASKS, IsaacGymEnvironment
from envs.isaac_bridge.connection import COMMAND_VARIABLE, SERVER, SOCKET_VARIABLE, IsaacGymError
from envs.isaac_bridge.protocol import Channel, Message

MADE: list[IsaacGymEnvironment] = []
STAND_IN = Path(__file__).parent / "isaac_stand_in"


def python38() -> str:
    """A Python 3.8 with numpy, where there is one."""
    found = shutil.which("python3.8")
    if (
        found is None
        or subprocess.run([found, "-c", "import numpy"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("no python3.8 with numpy on PATH")
    return found


def harl() -> str:
    pytest.importorskip("harl.envs")
    return sys.executable


def use_stand_in(
    monkeypatch: pytest.MonkeyPatch,
    layout: str = "original",
    python: str = sys.executable,
    torch: bool = False,
) -> None:
    folders = [STAND_IN / "common", STAND_IN / layout, *([] if torch else [STAND_IN / "torch_substitute"])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    monkeypatch.setenv(COMMAND_VARIABLE, python)
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test may leave a server behind, whatever happens in it."""
    use_stand_in(monkeypatch)
    started: list[subprocess.Popen[bytes]] = []
    start = connection._start

    def remembered(*arguments: object) -> subprocess.Popen[bytes]:
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(connection, "_start", remembered)
    yield
    while MADE:
        MADE.pop().close()
    alive = [process.pid for process in started if process.poll() is None]
    for pid in alive:
        os.killpg(pid, signal.SIGKILL)
    assert alive == []


def make(task: str = "pen", worlds: int = 2, seed: int = 0) -> IsaacGymEnvironment:
    MADE.append(IsaacGymEnvironment(task, worlds, seed, "paper"))
    return MADE[-1]


def push(*sizes: float) -> np.ndarray:
    """One action for every world; the stand-in moves by a tenth of its first number."""
    actions = np.zeros((len(sizes), 2, ACT_DIM), dtype=np.float32)
    actions[:, 0, 0] = sizes
    return actions


def where(state: np.ndarray) -> np.ndarray:
    return state[:, 398]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_sizes_and_names(task: str) -> None:
    original, obs_dim, state_dim, limit = TASKS[task]
    env = make(task, 3)
    spec = env.spec
    assert (spec.n_agents, spec.obs_dim, spec.state_dim, spec.act_dim, spec.episode_limit) == (
        2,
        obs_dim,
        state_dim,
        26,
        limit,
    )
    assert (spec.task, spec.suite, spec.preset) == (task, "bidexhands", "paper")
    assert spec.engine == "isaacgym-1.0rc4"
    assert spec.lineage == f"BiDexHands-{original}/isaacgym-1.0rc4/cpu"
    obs, state = env.reset()
    assert (obs.shape, obs.dtype) == ((3, 2, obs_dim), np.float32)
    assert (state.shape, state.dtype) == ((3, state_dim), np.float32)
    result = env.step(push(0.5, -0.5, 2.0))
    assert_allclose(where(result.state), [0.05, -0.05, 0.1], rtol=1e-6)
    assert (result.reward.shape, result.reward.dtype) == ((3,), np.float32)
    assert_allclose(result.reward, [0.95, 0.95, 0.9], rtol=1e-6)
    for flags in (result.terminated, result.truncated, result.info["success"]):
        assert (flags.shape, flags.dtype) == ((3,), np.bool_)
    env.close()


LAYOUTS = {
    "original": ("original", False, lambda: sys.executable),
    "harl": ("harl", False, lambda: sys.executable),
    "original, 3.8": ("original", False, python38),
    "harl, 3.8": ("harl", False, python38),
    # HARL's own configuration code and wrapper around the stand-in's task, with PyTorch
    "harl's own, torch": ("harl_own", True, harl),
}


@pytest.mark.parametrize(("layout", "torch", "interpreter"), LAYOUTS.values(), ids=LAYOUTS)
def test_an_episode_by_hand(
    layout: str, torch: bool, interpreter: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """World 0 fails, world 1 reaches the limit; each begins its next episode within the same step and from
    the same place."""
    use_stand_in(monkeypatch, layout, interpreter(), torch)
    env = make("pen", 2, seed=6)
    first_obs, first_state = env.reset()
    assert_array_equal(where(first_state), [0, 0])
    # The task's code draws from numpy's global generator, which was seeded.
    assert_allclose(first_state[:, 401], np.random.RandomState(6).uniform(), rtol=1e-6)
    # The two agents see their own hand and share the rest, which is clipped to 5.
    assert_array_equal(first_state[:, 400], [5, 5])
    actions = np.random.default_rng(0).uniform(-0.01, 0.01, (130, 2, 2, ACT_DIM)).astype(np.float32)
    actions[:, 0, 0, 0] = 1.0
    position, returns = np.zeros(2), np.zeros(2)
    for step, action in enumerate(actions, start=1):
        result = env.step(action)
        position += 0.1 * action[:, 0, 0].astype(np.float64)
        returns += 1 - np.abs(position)
        final_obs, final_state = result.info["final_obs"], result.info["final_state"]
        assert_allclose(where(final_state), position, atol=1e-5)
        assert_array_equal(final_state[:, 173:199], action[:, 0])
        assert_array_equal(final_state[:, 372:398], action[:, 1])
        assert_array_equal(final_obs[:, 0], np.delete(final_state, slice(199, 398), axis=1))
        assert_array_equal(final_obs[:, 1], final_state[:, 199:])
        assert_allclose(result.reward, 1 - np.abs(position), atol=1e-5)
        assert_allclose(result.info["episode_return"], returns, atol=1e-3)
        assert_array_equal(result.info["success"], [position[0] > 0.55, False])
        # The eleventh step takes world 0 beyond 1, the 125th is the last of world 1.
        assert_array_equal(result.terminated, [step % 11 == 0, False])
        assert_array_equal(result.truncated, [False, step == 125])
        assert_array_equal(result.info["episode_length"], [(step - 1) % 11 + 1, (step - 1) % 125 + 1])
        ended = result.terminated | result.truncated
        assert_array_equal(result.state, np.where(ended[:, None], first_state, final_state))
        assert_array_equal(result.obs, np.where(ended[:, None, None], first_obs, final_obs))
        position[ended] = returns[ended] = 0
    env.close()


def test_a_reset_in_mid_episode_begins_every_world_anew() -> None:
    env = make("door-open-inward", 2)
    first = env.reset()
    for _ in range(7):
        env.step(push(0.8, 0.4))
    again = env.reset(seed=5)
    for one, two in zip(first, again, strict=True):
        assert_array_equal(one, two)
    result = env.step(push(0.1, 0.2))
    assert_allclose(where(result.state), [0.01, 0.02], rtol=1e-6)
    assert_array_equal(result.info["episode_length"], [1, 1])
    assert not result.info["success"].any()


def test_callers_share_no_memory_with_it() -> None:
    env = make()
    for array in env.reset():
        array.fill(np.nan)
    for result in (env.step(push(0.1, 0.1)), env.step(push(0.1, 2))):
        for array in (result.obs, result.state, *result.info.values()):
            array.fill(1)
    assert_allclose(where(env.step(push(0.1, 0.1)).state), [0.03, 0.12], rtol=1e-6)
    assert_array_equal(where(env.reset()[1]), [0, 0])


def test_a_simulation_that_breaks_is_named_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISAAC_STAND_IN_FAULT", "not a number")
    env = make()
    env.reset()
    env.step(push(0.1, 0.1))
    env.step(push(0.1, 0.1))
    with pytest.raises(
        envs.NonFiniteError, match="state of world 1 is not finite at step 3 of its episode"
    ) as caught:
        env.step(push(0.1, 0.1))
    assert caught.value.result is not None
    assert_array_equal(caught.value.result.truncated, [False, True])
    result = env.step(push(0.1, 0.2))
    assert_allclose(where(result.state), [0.04, 0.02], rtol=1e-6)
    assert_array_equal(result.info["episode_length"], [4, 1])
    broken = push(0.1, np.nan)
    with pytest.raises(envs.NonFiniteError, match="action of world 1"):
        env.step(broken)
    with pytest.raises(envs.InvalidArgumentError, match="takes"):
        env.step(push(0.1))


def test_it_says_that_it_cannot_resume() -> None:
    env = make()
    with pytest.raises(envs.InvalidArgumentError, match=r"call reset\(\)"):
        env.get_sim_state()
    env.reset()
    says = (
        "pen runs in isaacgym-1.0rc4, which cannot restore its state bit for bit: "
        "what runs in it cannot be resumed"
    )
    for refused in (env.get_sim_state, lambda: env.set_sim_state({})):
        with pytest.raises(envs.UnsupportedSimStateError) as caught:
            refused()
        assert str(caught.value) == says


def test_the_registry_labels_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert envs.TASKS["pen"].engines["isaacgym"].caveat == "not run against Isaac Gym by us"
    env = envs.make("pen", engine="isaacgym")
    assert env.spec.task == "pen"
    env.close()
    monkeypatch.delenv(COMMAND_VARIABLE)
    with pytest.raises(
        envs.MissingExtraError,
        match=f"tarball.*{COMMAND_VARIABLE}.*{SOCKET_VARIABLE}.*not run against Isaac Gym by us",
    ):
        envs.make("pen", engine="isaacgym")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "spaces",
            r"observation spaces \[\(2522,\), \(2522,\)\], the bridge was written for \[\(218,\), \(218,\)\]",
        ),
        ("quit", "SystemExit"),
        ("ends at once", "world 1 ends at the first step after its reset"),
    ],
)
def test_an_installation_that_does_not_fit_is_refused(
    fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISAAC_STAND_IN_FAULT", fault)
    with pytest.raises(IsaacGymError, match=message):
        make()


@pytest.mark.parametrize(
    ("folders", "missing"),
    [([], "isaacgym"), (["common"], "torch"), (["common", "torch_substitute"], "bidexhands")],
)
def test_what_the_other_python_lacks_is_named(
    folders: list[str], missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An interpreter without its site-packages but numpy."""
    (tmp_path / "numpy").symlink_to(Path(np.__file__).parent)
    for libraries in Path(np.__file__).parents[1].glob("numpy.libs"):
        (tmp_path / "numpy.libs").symlink_to(libraries)
    paths = [STAND_IN / folder for folder in folders] + [tmp_path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    monkeypatch.setenv(COMMAND_VARIABLE, f"{sys.executable} -S")
    with pytest.raises(
        IsaacGymError,
        match=rf"^Isaac Gym's process refused: this Python (cannot import|finds neither) {missing}",
    ):
        make()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-interpreter", "cannot be started: .*no-such-interpreter"),
        (
            f"{sys.executable} -c 'import sys; print(1, file=sys.stderr); print(); sys.exit(3)'",
            "status 3 at once; its last words were: 1",
        ),
    ],
)
def test_a_command_that_does_not_work_is_named(
    command: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, command)
    with pytest.raises(IsaacGymError, match=message):
        make()


def test_a_container_that_does_not_show_the_socket() -> None:
    done = subprocess.run(
        [sys.executable, str(SERVER), "--connect", "nowhere/socket"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("its folder has to be visible inside the container")
    assert done.stderr.count("\n") == 1


def test_a_command_that_never_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, f"{sys.executable} -c 'import time; time.sleep(60)'")
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    with pytest.raises(IsaacGymError, match="did not connect within 0 s|did not connect within 1 s"):
        make()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("crash", "hung up between two messages; its last words were: PhysX: the last line"),
        ("raise", "RuntimeError: CUDA error: an illegal memory access"),
        ("hang", "did not answer in time"),
        ("lost count", r"counts the steps \[4 3\] of its episodes, this side \[3 3\]"),
    ],
)
def test_a_server_that_fails_is_no_hang(fault: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISAAC_STAND_IN_FAULT", fault)
    env = make()
    env.reset()
    env.step(push(0.1, 0.1))
    env.step(push(0.1, 0.1))
    if fault == "hang":
        monkeypatch.setattr("envs.isaac_bridge.client.STEP_SECONDS", 0.5)
        monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.5)
    with pytest.raises(IsaacGymError, match=message):
        env.step(push(0.1, 0.1))
    with pytest.raises(IsaacGymError, match="closed"):
        env.step(push(0.1, 0.1))
    env.close()


def test_a_killed_server() -> None:
    env = make()
    env.reset()
    process = env._server._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    with pytest.raises(IsaacGymError, match="lost"):
        env.step(push(0.1, 0.1))


def test_a_runtime_that_leaves_its_server_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is a shell that starts the server as its child, as a container's runtime may; the server
    hangs."""
    monkeypatch.setenv("ISAAC_STAND_IN_FAULT", "hang")
    monkeypatch.setenv(COMMAND_VARIABLE, f"sh -c '{sys.executable} \"$@\"; true' sh")
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.3)
    env = make()
    process = env._server._process
    assert process is not None
    children = [
        int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]
    assert len(children) == 1
    env.reset()
    for _ in range(2):
        env.step(push(0.1, 0.1))
    monkeypatch.setattr("envs.isaac_bridge.client.STEP_SECONDS", 0.3)
    with pytest.raises(IsaacGymError, match="did not answer in time"):
        env.step(push(0.1, 0.1))
    deadline = time.monotonic() + 10
    while running(children[0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_interrupted_step_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make()
    env.reset()

    def interrupt(channel: Channel, timeout: float | None = None) -> Message:
        raise KeyboardInterrupt

    monkeypatch.setattr(Channel, "receive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        env.step(push(0.1, 0.1))
    monkeypatch.undo()
    with pytest.raises(IsaacGymError, match="closed"):
        env.step(push(0.1, 0.1))


def test_answers_of_another_shape_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A foreign server: it opens as it should and then steps one world instead of two."""
    path = os.path.relpath(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def serve() -> None:
        connection, _ = listener.accept()
        channel = Channel(connection)
        channel.receive(10)
        arrays = {"obs": np.zeros((2, 2, 218), np.float32), "state": np.zeros((2, 417), np.float32)}
        channel.send("opened", {"isaacgym": "2.0", "device": "cuda:1"}, arrays)
        channel.receive(10)
        vectors = {
            "reward": np.zeros(2),
            "done": np.zeros(2, np.bool_),
            "progress": np.ones(2, np.int64),
            "success": np.zeros(1, np.bool_),
        }
        channel.send("stepped", {}, arrays | vectors)
        connection.close()

    server = threading.Thread(target=serve)
    server.start()
    monkeypatch.setenv(SOCKET_VARIABLE, path)
    env = make()
    assert env.spec.lineage == "BiDexHands-ShadowHandPen/isaacgym-2.0/cuda"
    env.reset()
    with pytest.raises(
        IsaacGymError, match=r"'success': \(\(1,\), 'b'\)\}, they have to be .*'success': \(\(2,\), 'b'\)"
    ):
        env.step(push(0.1, 0.1))
    server.join()
    listener.close()


def test_closing_ends_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", "t")  # a short name: sockets take 107 characters
    env = make()
    process = env._server._process
    assert process is not None
    assert list(Path("t").iterdir()) == []
    env.close()
    assert process.poll() == 0
    env.close()
    env.reset()
    with pytest.raises(IsaacGymError, match="closed"):
        env.step(push(0.1, 0.1))


def test_a_folder_that_is_too_deep_for_a_socket_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(IsaacGymError, match="set TMPDIR to a short path"):
        make()


CLIENT = """
import os, sys
from envs.isaac_bridge.client import IsaacGymEnvironment
env = IsaacGymEnvironment("pen", 1, 0, "paper")
print(env._server._process.pid, flush=True)
{last}
"""


@pytest.mark.parametrize("last", ["sys.stdin.read()", "os._exit(1)", ""], ids=["killed", "dies", "leaves"])
def test_no_server_outlives_its_client(last: str) -> None:
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT.format(last=last)],
        cwd=STAND_IN.parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    pid = int(client.stdout.readline())
    if "stdin" in last:
        client.kill()
    client.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_started_by_hand_serves_one_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = Path(os.path.relpath(tmp_path / "socket"))  # a short name: sockets take 107 characters
    server = subprocess.Popen([sys.executable, str(SERVER), "--listen", str(path)])
    try:
        deadline = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert path.stat().st_mode & 0o077 == 0
        monkeypatch.setenv(SOCKET_VARIABLE, str(path))
        env = make("bottle-cap", 1)
        env.reset()
        assert_allclose(where(env.step(push(0.5)).state), [0.05], rtol=1e-6)
        monkeypatch.setattr(envs.retry, "PAUSES", (0.01,))
        with pytest.raises(
            IsaacGymError, match=f"no server waits on .*{SOCKET_VARIABLE}; each serves one environment"
        ):
            make("bottle-cap", 1)
        env.close()
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()


def test_a_server_that_is_about_to_listen_is_given_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = os.path.relpath(tmp_path / "socket")
    monkeypatch.setattr(envs.retry, "PAUSES", (0.05,) * 200)
    with socket.socket(socket.AF_UNIX) as listener:

        def listen() -> None:
            time.sleep(0.3)
            listener.bind(path)
            time.sleep(0.2)  # the file is there, but nothing listens yet
            listener.listen(1)

        server = threading.Thread(target=listen)
        server.start()
        connection._join(path).close()
        server.join()


def test_senseless_numbers_start_nothing() -> None:
    with pytest.raises(envs.InvalidArgumentError, match="num_envs is 0"):
        make(worlds=0)
    with pytest.raises(envs.InvalidArgumentError, match="the seed is -1"):
        make(seed=-1)
    with pytest.raises(
        envs.UnknownPresetError, match="unknown preset of pen in engine isaacgym 'v1': choose one of paper"
    ):
        envs.make("pen", engine="isaacgym", preset="v1")


def test_its_own_preset_is_the_default() -> None:
    env = envs.make("pen", engine="isaacgym")
    assert env.spec.preset == "paper"
    env.close()
