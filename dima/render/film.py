"""`dima render`: a policy's episode as an MP4 (H.264) in real time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

import envs
from dima.cell.checkpoint import load_checkpoint
from dima.cell.methods import build_learner
from dima.config import CellConfig, older_method
from dima.errors import DivergedError, UserError
from dima.learning.learner import Learner
from dima.record.files import read_json, replacing
from envs.scripted import scripted_controller

MOST_FRAMES_A_SECOND = 60
CONSTANT_RATE_FACTOR = "18"  # x264's scale from 0, lossless, to 51; 18 looks like the frames themselves

Act = Callable[
    [Float[np.ndarray, "1 agents observation"], Float[np.ndarray, "1 state"], Int[np.ndarray, " 1"]],
    Float[np.ndarray, "1 agents action"],
]
"""Actions for the observation, the global state and the number of steps taken in the episode."""


@dataclass(frozen=True)
class Order:
    """What to film.

    Attributes:
        task: its name in `envs.TASKS`.
        policy: `random` (uniform in [-1, 1]), `scripted`, or the folder of a cell, whose newest checkpoint
            acts by its mean.
        preset: of the task; None: the trained policy's, else the task's first.
        seed: of the environment and of random actions.
        steps: over any number of episodes; None: one episode.
        size: width and height in pixels, even numbers for H.264.
        output: the file, which ends in .mp4.
        overwrite: whether to replace an existing file.
    """

    task: str
    policy: str
    preset: str | None
    seed: int
    steps: int | None
    size: tuple[int, int]
    output: Path
    overwrite: bool


def render(order: Order) -> str:
    """Write the film, complete or not at all, and return one line about it.

    Raises:
        UserError, envs.EnvironmentsError: a fault that the user can correct; nothing is written.
        DivergedError: an action or the simulation is not finite.
    """
    _check_output(order)
    trained = None if order.policy in ("random", "scripted") else _trained_config(order)
    preset = order.preset or (trained.task.preset if trained else None)
    environment = envs.make(
        order.task, seed=order.seed, preset=preset, engine=trained.task.simulator if trained else None
    )
    try:
        film = _Film(order, environment, _policy(order, environment, trained))
        with replacing(order.output) as aside, _progress() as progress:
            _encode(film.frames(progress), aside, film.rate, order.size)
    except envs.NonFiniteError as error:
        raise DivergedError(f"{error}; no film was written.") from error
    finally:
        environment.close()
    frames = f"{film.drawn:,} frames at {float(film.rate):g} a second"
    return f"{order.output}: {film.taken:,} steps, {frames}, reward {film.reward:.1f}"


class _Film:
    """The pictures of a run, with counts of steps and frames. A step is drawn before it is taken."""

    def __init__(self, order: Order, environment: envs.BatchedEnvironment, act: Act) -> None:
        self.order, self.environment, self.act = order, environment, act
        self.every = math.ceil(environment.steps_per_second / MOST_FRAMES_A_SECOND)
        self.rate = Fraction(environment.steps_per_second).limit_denominator(1000) / self.every
        self.taken, self.drawn, self.reward = 0, 0, 0.0

    def frames(self, progress: Progress) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        width, height = self.order.size
        limit = self.order.steps or self.environment.spec.episode_limit
        observations, states = self.environment.reset()
        episode_step = np.zeros(1, dtype=np.int64)
        for step in progress.track(range(limit), description=f"Filming {self.order.task}"):
            if step % self.every == 0:
                self.drawn += 1
                yield self.environment.render(0, height, width)
            result = self.environment.step(self.act(observations, states, episode_step))
            observations, states = result.obs, result.state
            self.taken += 1
            self.reward += float(result.reward[0])
            ended = bool(result.terminated[0] or result.truncated[0])
            if ended and self.order.steps is None:
                return
            episode_step = np.zeros_like(episode_step) if ended else episode_step + 1


def _progress() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _check_output(order: Order) -> None:
    try:
        import av  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError as error:
        raise UserError(
            "Writing films needs PyAV, which is not installed: pip install -e '.[render]'."
        ) from error
    if order.output.suffix != ".mp4":
        raise UserError(f"The output must end in .mp4, unlike {order.output}.")
    if not order.output.parent.is_dir():
        raise UserError(f"There is no folder {order.output.parent} to write {order.output.name} to.")
    if order.output.is_dir():
        raise UserError(f"{order.output} is a folder: choose another --output.")
    if order.output.exists() and not order.overwrite:
        raise UserError(f"{order.output} exists: choose another --output, or -y to overwrite it.")


def _policy(order: Order, environment: envs.BatchedEnvironment, trained: CellConfig | None) -> Act:
    spec = environment.spec
    if trained is not None:
        return _Trained(_trained_learner(trained, Path(order.policy)))
    if order.policy == "scripted":
        controller = scripted_controller(spec)
        return lambda _observations, states, steps: controller(states, steps)
    random = np.random.default_rng(order.seed)
    return lambda _observations, _states, _steps: random.uniform(
        -1, 1, (1, spec.n_agents, spec.act_dim)
    ).astype(np.float32)


class _Trained:
    """A learner's policy, reset at every episode because it may be recurrent."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._policy = learner.frozen_policy()

    def __call__(
        self,
        observations: Float[np.ndarray, "1 agents observation"],
        states: Float[np.ndarray, "1 state"],
        steps: Int[np.ndarray, " 1"],
    ) -> Float[np.ndarray, "1 agents action"]:
        if steps[0] == 0:
            self._policy = self._learner.frozen_policy()
        return self._policy(observations)


def _trained_config(order: Order) -> CellConfig:
    """The cell's configuration. Raises UserError for another task or preset than the cell's."""
    path = Path(order.policy) / "config.json"
    stored: dict[str, Any] | None = read_json(path) if path.is_file() else None
    if stored is None:
        choices = "choose random, scripted, or the folder of a cell, with its config.json"
        raise UserError(f"Unknown policy {order.policy!r}: {choices}.")
    try:
        config = CellConfig.model_validate_json(json.dumps(stored["config"]))
    except (ValidationError, KeyError, TypeError) as error:
        if isinstance(error, ValidationError) and (older := older_method(stored["config"])):
            raise UserError(f"{order.policy} was {older}: train it again.") from error
        raise UserError(f"{path} holds no configuration that this version can read.") from error
    if config.engine == "checkout":
        raise UserError(
            f"{order.policy} was trained by a checkout's program: its policy cannot be loaded here."
        )
    names = (("task", order.task, config.task.name), ("preset", order.preset, config.task.preset))
    for name, asked, own in names:
        if asked not in (None, own):
            raise UserError(f"{order.policy} was trained on {name} {own}, not {asked}.")
    return config


def _trained_learner(config: CellConfig, folder: Path) -> Learner:
    """The cell's learner on the CPU, with the policy of its newest valid checkpoint."""
    state, faults = load_checkpoint(folder / "checkpoint")
    for fault in faults:
        print(fault)
    if state is None:
        raise UserError(f"{folder} has no checkpoint yet.")
    learner = build_learner(config, torch.device("cpu"))
    learner.load_policy(state["learner"])
    learner.close()
    return learner


def _encode(
    frames: Iterator[UInt8[np.ndarray, "height width 3"]], path: Path, rate: Fraction, size: tuple[int, int]
) -> None:
    import av

    # the index goes to the front, so that a browser can play the file while it loads
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": CONSTANT_RATE_FACTOR})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
