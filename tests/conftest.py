"""Small configurations for tests that run the real thing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from remembered import is_remembered, remember

import envs
from dima.config import CellConfig
from dima.config.grid import CellKey, Grid, load_grid

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "workflow" / "config"

# processes that tests start then find compiled modules instead of compiling each one again
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# a shell starts what is to run in the background with this signal ignored, and processes that tests start
# would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

TINY_DIMA = {
    "replay": {"capacity": 2000},
    "state_decoder": {"hidden": 32, "batch_size": 32, "updates_per_epoch": 3},
    "denoiser": {
        "channels": [32, 32],
        "blocks": [1, 1],
        "condition_dim": 32,
        "action_encoder": {
            "token_dim": 16,
            "latents": 2,
            "latent_dim": 16,
            "depth": 1,
            "cross_heads": 1,
            "cross_head_dim": 16,
            "heads": 2,
            "head_dim": 8,
            "feed_forward_multiplier": 1,
        },
        "batch_size": 16,
        "updates_per_epoch": 3,
    },
    "reward_model": {
        "dim": 16,
        "layers": 1,
        "heads": 2,
        "action_layers": 1,
        "action_heads": 2,
        "action_head_dim": 8,
        "feed_forward_multiplier": 1,
        "batch_size": 8,
        "updates_per_epoch": 3,
    },
    "behavior": {
        "horizon": 5,
        "rollouts": 16,
        "policy_updates_per_epoch": 2,
        "actor_hidden": [16, 16],
        "critic_hidden": [16, 16],
    },
    "schedule": {"min_new_steps": 100, "warmup_steps": 100, "first_policy_epoch": 2},
}
TINY_MAMBA = {
    "replay_capacity": 2000,
    "model": {
        "hidden": 16,
        "embedding": 16,
        "recurrent": 16,
        "categoricals": 3,
        "classes": 4,
        "attention": {"layers": 1, "heads": 2, "feed_forward": 16},
        "sequence_length": 8,
        "batch_size": 6,
        "updates_per_epoch": 3,
    },
    "behavior": {
        "horizon": 5,
        "policy_updates_per_epoch": 2,
        "actor_hidden": [16, 16],
        "critic_hidden": 16,
        "critic_attention": {"heads": 2, "feed_forward": 16},
        "ppo_epochs": 2,
        "minibatch_size": 50,
    },
    "schedule": {"warmup_steps": 100},
}
TINY_MARIE = {
    "replay_capacity": 1000,
    "tokenizer": {
        "tokens": 3,
        "codebook_size": 12,
        "codebook_dim": 4,
        "hidden": 16,
        "batch_size": 16,
        "updates_per_epoch": 3,
    },
    "world_model": {
        "dim": 16,
        "layers": 2,
        "heads": 2,
        "action_bins": 8,
        "batch_size": 4,
        "updates_per_epoch": 2,
        "aggregation": {"layers": 1, "heads": 2, "head_dim": 8, "feed_forward_multiplier": 1},
        "reward_bins": {"count": 16},
    },
    "behavior": {
        "horizon": 4,
        "rollouts": 6,
        "rollout_chunk": 4,
        "policy_updates_per_epoch": 2,
        "ppo_epochs": 2,
        "actor_hidden": [16],
        "critic_dim": 8,
        "critic_heads": 2,
        "critic_hidden": [8],
    },
    "schedule": {
        "min_new_steps": 50,
        "warmup_steps": 50,
        "first_world_model_epoch": 1,
        "first_policy_epoch": 1,
    },
}
TINY_MAPPO = {
    "rollout_threads": 2,
    "episode_length": 50,
    "hidden_sizes": [16],
    "ppo_epochs": 2,
    "critic_epochs": 2,
}
TINY_HASAC = {
    "rollout_threads": 2,
    "warmup_steps": 100,
    "train_interval": 50,
    "updates_per_vector_step": 0.1,
    "hidden_sizes": [16],
    "replay_capacity": 400,
    "batch_size": 32,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dima")
    group.addoption(
        "--slow",
        action="store_true",
        help="run slow tests too, and train what has to be proven again to learn",
    )
    group.addoption(
        "--every-proof", action="store_true", help="train everything that is proven to learn, changed or not"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests are left out unless they are asked for. The longest come first, so that in the end no worker
    waits for another."""
    if not (config.getoption("slow") or config.option.markexpr):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("slow")])
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    for item in items:
        if (
            item.get_closest_marker("remembered")
            and not config.getoption("every_proof")
            and is_remembered(item.path)
        ):
            item.add_marker(
                pytest.mark.skip(
                    reason="it passed with the same code, as tests/remembered says; --every-proof runs it"
                )
            )
    items.sort(key=_longest_first)


def _longest_first(item: pytest.Item) -> float:
    timeout = item.get_closest_marker("timeout")
    return -timeout.args[0] if timeout else -bool(item.get_closest_marker("slow"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Where the time went; what slow tests were left out. Dear tests that passed are remembered."""
    if config.option.collectonly:
        return
    reports = [
        report
        for report in chain.from_iterable(terminalreporter.stats.values())
        if isinstance(report, pytest.TestReport)
    ]
    if not (
        config.option.keyword or config.option.markexpr or any("::" in argument for argument in config.args)
    ):
        _remember([report for report in reports if "remembered" in report.keywords])
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds["/".join(Path(report.location[0]).parts[:2])] += report.duration
    terminalreporter.section("seconds by folder or file")
    for name, spent in seconds.most_common():
        terminalreporter.line(f"{spent:7.1f}  {name}")
    if not config.getoption("slow"):
        terminalreporter.line("Without the slow tests. Everything: python -m pytest --slow")


def _remember(reports: list[pytest.TestReport]) -> None:
    """Note the files whose dear tests all passed; one that was skipped or interrupted leaves its file as it
    was."""
    for place in {report.location[0] for report in reports}:
        outcomes = {
            (report.nodeid, report.when): report.outcome for report in reports if report.location[0] == place
        }
        tests = {nodeid.partition("::")[2] for nodeid, _ in outcomes}
        if set(outcomes.values()) == {"passed"} and len(outcomes) == 3 * len(tests):
            remember(ROOT / place, tests)


def tiny_config(folder: Path) -> Path:
    """A copy of the project's configuration in `folder`, with the grid `tiny`: push-mass, seconds a cell."""
    config = folder / "workflow" / "config"
    shutil.copytree(CONFIG, config)
    grid = {
        "experiments": {
            "final_returns": [
                {"tasks": ["push-mass"], "methods": ["dima", "dima-joint", "mamba", "mappo"], "seeds": [1, 2]}
            ]
        },
        "overrides": {
            "tasks": {"push-mass": {"env_steps": 400, "evaluation": {"every": 200, "episodes": 2}}},
            "methods": {"dima": TINY_DIMA, "dima-joint": TINY_DIMA, "mamba": TINY_MAMBA, "mappo": TINY_MAPPO},
        },
    }
    (config / "tiny.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    return config


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with the configuration in it."""
    tiny_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(tmp_path: Path) -> Grid:
    """The grid `tiny`."""
    return load_grid("tiny", tiny_config(tmp_path / "configuration"))


@pytest.fixture
def tiny_cell(tiny: Grid) -> CellConfig:
    """DIMA on push-mass, seed 1."""
    return tiny.resolve(CellKey("push-mass", "dima", 1))


@pytest.fixture(scope="session")
def paper() -> CellConfig:
    """The paper's DIMA on HalfCheetah-2x3."""
    return load_grid("paper", CONFIG).resolve(CellKey("halfcheetah-2x3", "dima", 1))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def _fingerprint(value: Any) -> str:
    """One digest for a state tree."""
    if isinstance(value, dict):
        return hashlib.sha256(
            "".join(f"{key}:{_fingerprint(entry)}" for key, entry in value.items()).encode()
        ).hexdigest()
    if isinstance(value, list | tuple):
        return _fingerprint(dict(enumerate(value)))
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    return hashlib.sha256(
        value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    ).hexdigest()


@pytest.fixture
def fingerprint() -> Callable[[Any], str]:
    """One digest for a state tree."""
    return _fingerprint


@pytest.fixture(scope="session")
def opengl() -> None:
    """Skips what draws with OpenGL where there is none."""
    environment = envs.make("halfcheetah-2x3")
    environment.reset()
    try:
        environment.render()
    except envs.MissingGraphicsError as error:
        pytest.skip(str(error))
    finally:
        environment.close()
