"""MARIE's own `train.py`: its command, and the pickle it writes of its evaluations."""

from __future__ import annotations

from pathlib import Path

import torch

from dima.baselines.checkout.foreign_pickle import TruncatedError, load_plain
from dima.baselines.checkout.program import Command, Program, UnreadableError, UpstreamEvaluation, scenario
from dima.config import MARIE_EPISODES, CellConfig, MarieCheckoutParameters

RESULTS = "*_results"  # the day and the month stand for the star
CONTENT = ("steps", "eval_returns")


class MarieProgram(Program):
    """MARIE on a MAMuJoCo task. It evaluates after every episode that took it past the next 500 steps, and
    chooses its device itself.

    Args:
        config: of the cell; its parameters are `MarieCheckoutParameters`.
    """

    name = "MARIE"
    episodes = MARIE_EPISODES
    files = ("train.py", "configs/EnvConfigs.py")
    modules = ("torch", "ray", "wandb", "gym")

    def __init__(self, config: CellConfig, _device: torch.device) -> None:
        parameters = config.parameters
        if not isinstance(parameters, MarieCheckoutParameters):
            raise TypeError(f"MARIE's program cannot read {type(parameters).__name__}")
        self.commit = parameters.commit
        name, partition = scenario(config.task.name)
        self._arguments = [
            "train.py",
            *("--n_workers", "1", "--env", "mamujoco", "--env_name", name, "--agent_conf", partition),
            *("--seed", str(config.seed), "--steps", str(config.task.env_steps), "--mode", "disabled"),
            *(
                "--tokenizer",
                parameters.tokenizer,
                "--decay",
                str(parameters.decay),
                "--temperature",
                str(parameters.temperature),
            ),
            *("--sample_temp", str(parameters.sample_temp)),
            *(["--ce_for_r"] if parameters.ce_for_r else []),
        ]

    def check(self, checkout: Path) -> None:
        """Nothing: it is told everything on its command line, and refuses there what it does not know."""

    def prepare(self, work: Path) -> Command:
        """`train.py` in the private copy, where it writes its results."""
        return Command(self._arguments, work / "source")

    def read(self, work: Path, ended: bool) -> list[UpstreamEvaluation]:
        """What the one pickle holds, which MARIE writes anew after each evaluation."""
        paths = list((work / "source").glob(f"{RESULTS}/**/marie_*.pkl"))
        if len(paths) > 1:
            raise UnreadableError(
                f"{work / 'source'} holds {len(paths)} pickles of evaluations where MARIE writes one"
            )
        if not paths:
            return []
        try:
            return _evaluations(load_plain(paths[0]), paths[0])
        except TruncatedError as error:
            if ended:
                raise UnreadableError(str(error)) from error
            return []

    def keep(self, work: Path) -> None:
        """Its results, networks included, stand in `upstream/results` afterwards."""
        for folder in list((work / "source").glob(RESULTS)):
            (work / "results").mkdir(exist_ok=True)
            folder.rename(work / "results" / folder.name)


def _evaluations(content: object, path: Path) -> list[UpstreamEvaluation]:
    steps, returns = (content.get(name) if isinstance(content, dict) else None for name in CONTENT)
    if not isinstance(steps, list) or not isinstance(returns, list) or len(steps) != len(returns):
        raise UnreadableError(
            f"{path} does not hold lists of equal length by the names {' and '.join(CONTENT)}"
        )
    try:
        return [
            UpstreamEvaluation(int(step), float(value), None)
            for step, value in zip(steps, returns, strict=True)
        ]
    except (TypeError, ValueError) as error:
        raise UnreadableError(f"{path} holds an evaluation that is no number: {error}") from error
