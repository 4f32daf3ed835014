"""HARL's own `train.py`: the configuration it is given, and the `progress.txt` it writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from dima.baselines.checkout.program import Command, Program, UnreadableError, UpstreamEvaluation, scenario
from dima.baselines.harl_settings import off_policy_settings, on_policy_settings
from dima.config import CellConfig, HarlCheckoutParameters, HarlOnPolicyCheckoutParameters
from dima.config.grid import merge
from dima.config.yaml_file import read_yaml
from dima.errors import UserError

MOST_EVALUATIONS = 4
"""How many times as often as the grid asks HARL may be made to evaluate, so that the budget is evaluated
too."""


class HarlProgram(Program):
    """HARL's MAPPO, HAPPO or HASAC on a MAMuJoCo task, with the values of the cell and everything else as the
    checkout has it.

    HARL evaluates nothing at step 0, and HASAC nothing within its warm-up. The mean that it writes is over
    `episodes` episodes, and over those beyond them that end in the same step.

    Args:
        config: of the cell; its parameters are `HarlCheckoutParameters`.
        device: where HARL's networks are.
    """

    name = "HARL"
    modules = ("torch", "yaml", "tensorboardX", "setproctitle", "absl", "gym")

    def __init__(self, config: CellConfig, device: torch.device) -> None:
        parameters = config.parameters
        if not isinstance(parameters, HarlCheckoutParameters):
            raise TypeError(f"HARL's program cannot read {type(parameters).__name__}")
        self.commit = parameters.commit
        self.episodes = config.task.evaluation.episodes
        self._config, self._parameters, self._device = config, parameters, device
        self._algorithm = parameters.algorithm.removesuffix("-checkout")
        self._on_policy = isinstance(parameters, HarlOnPolicyCheckoutParameters)
        self._algorithm_file = f"harl/configs/algos_cfgs/{self._algorithm}.yaml"
        self._environment_file = "harl/configs/envs_cfgs/mamujoco.yaml"
        self.files = ("examples/train.py", self._algorithm_file, self._environment_file)

    def check(self, checkout: Path) -> None:
        """Refuse a checkout whose own configuration files lack a key that it is told. Raises UserError."""
        self.configuration(checkout, Path())

    def configuration(self, source: Path, results: Path) -> dict[str, Any]:
        """All that `train.py --load_config` reads: the checkout's own files, and the cell's values over them.

        Args:
            source: the checkout or a copy of it.
            results: where HARL is to write.

        Raises:
            UserError: one of its files cannot be read, or lacks a key that is set.
        """
        name, partition = scenario(self._config.task.name)
        told = {
            self._algorithm_file: merge(self._settings(), {"logger": {"log_dir": str(results)}}),
            self._environment_file: {"scenario": name, "agent_conf": partition},
        }
        algorithm, environment = (
            _over(read_yaml(source / file), values, source / file) for file, values in told.items()
        )
        main = {"algo": self._algorithm, "env": "mamujoco", "exp_name": "cell"}
        return {"main_args": main, "algo_args": algorithm, "env_args": environment}

    def prepare(self, work: Path) -> Command:
        """`upstream/config.json`, and `train.py` on it."""
        path = work.absolute() / "config.json"
        configuration = self.configuration(work / "source", work.absolute() / "results")
        path.write_text(json.dumps(configuration, indent=1), encoding="utf-8")
        return Command(
            ["train.py", "--load_config", str(path), "--exp_name", "cell"], work / "source" / "examples"
        )

    def read(self, work: Path, ended: bool) -> list[UpstreamEvaluation]:
        """The complete rows of the one `progress.txt`."""
        paths = list((work / "results").rglob("progress.txt"))
        if len(paths) > 1:
            raise UnreadableError(
                f"{work / 'results'} holds {len(paths)} files progress.txt where HARL writes one"
            )
        if not paths:
            return []
        text = paths[0].read_text(encoding="utf-8", errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [self._row(line, f"line {number} of {paths[0]}") for number, line in enumerate(lines, 1)]

    def keep(self, work: Path) -> None:
        """Nothing: HARL's results are not in the private copy."""

    def _row(self, line: str, place: str) -> UpstreamEvaluation:
        """`env_steps,mean return`, of an off-policy method also `,mean length`."""
        try:
            steps, *means = line.split(",")
            values = [float(mean) for mean in means]
            env_steps = int(steps)
        except ValueError:
            values, env_steps = [], 0
        if len(values) != (1 if self._on_policy else 2):
            raise UnreadableError(f"{place} is {line!r}, not what HARL writes of an evaluation")
        return UpstreamEvaluation(env_steps, values[0], None if self._on_policy else values[1])

    def _settings(self) -> dict[str, Any]:
        parameters, task = self._parameters, self._config.task
        if isinstance(parameters, HarlOnPolicyCheckoutParameters):
            settings, warmup, steps = (
                on_policy_settings(parameters),
                0,
                parameters.rollout_threads * parameters.episode_length,
            )
        else:
            settings, warmup, steps = (
                off_policy_settings(parameters),
                parameters.warmup_steps,
                parameters.rollout_threads,
            )
        rounds, interval = schedule(task.env_steps - warmup, steps, task.evaluation.every)
        outer = {
            "seed": {"seed_specify": True, "seed": self._config.seed},
            "device": {"cuda": self._device.type == "cuda", "torch_threads": torch.get_num_threads()},
            "train": {
                "num_env_steps": rounds * steps,
                "eval_interval": interval,
            },  # HARL counts the steps of the warm-up extra
            "eval": {
                "use_eval": True,
                "n_eval_rollout_threads": self.episodes,
                "eval_episodes": self.episodes,
            },
            "render": {"use_render": False},
        }
        return merge(settings, outer)


def schedule(env_steps: int, steps: int, every: int) -> tuple[int, int]:
    """Rounds of training and rounds between two evaluations, so that the last round is evaluated and no two
    are more than `every` apart.

    A round is the least that HARL can do: an update of an on-policy method, a step of every world of an
    off-policy one. There are as many as `env_steps` needs, and some more where their number has no divisor
    near `every`, as a prime has none.

    Args:
        env_steps: to be taken.
        steps: of a round.
        every: environment steps between two points of the evaluation grid.
    """
    rounds = math.ceil(env_steps / steps)
    wanted = min(max(every // steps, 1), rounds)
    while True:
        interval = max(divisor for divisor in range(1, wanted + 1) if rounds % divisor == 0)
        if interval * MOST_EVALUATIONS >= wanted:
            return rounds, interval
        rounds += 1


def _over(theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> dict[str, Any]:
    """`ours` over `theirs`. Raises UserError for a key that theirs lacks.

    HARL would pass it over in silence.
    """
    for key, value in ours.items():
        inner = (
            {f"{key}.{name}": name in (theirs.get(key) or {}) for name in value}
            if isinstance(value, dict)
            else {}
        )
        for name, known in {key: key in theirs, **inner}.items():
            if not known:
                raise UserError(
                    f"{path} has no key {name}, which this configuration sets: HARL would pass it over."
                )
    return merge(theirs, ours)
