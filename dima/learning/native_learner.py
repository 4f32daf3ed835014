"""What the native methods share in training: collecting, repeated updates, one report an epoch, saving."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dima.errors import DivergedError
from dima.experience.collect import Collector, Sampling
from dima.experience.transitions import Episode
from dima.learning.learner import Scalars

Watch = Callable[[str, Callable[[], Any]], Any]
"""Is given a stage of an epoch and its work, and returns what the work returned."""


def unwatched(_stage: str, work: Callable[[], Any]) -> Any:
    """Do the work."""
    return work()


BEHAVIOR = (
    "actor_loss", "entropy", "critic_loss", "imagined_return", "imagined_reward", "continuation", "value"
)  # fmt: skip
"""What every method's policy updates report."""


class NativeLearner(ABC):
    """Counters, training environment and an epoch's bookkeeping; see `dima.learning.learner.Learner`.

    Args:
        collector: the training environment.

    Attributes:
        REPORTED: names of the numbers that each part's updates report, in order.
        watch: is called around every stage of an epoch: "collect", and those that a learner names.
    """

    REPORTED: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(self, collector: Collector) -> None:
        self.env_steps = 0
        self.epoch = 0
        self._collector = collector
        self.lineage = collector.spec.lineage
        self.watch: Watch = unwatched

    def collect(self) -> dict[str, float]:
        """Take and store an epoch's environment steps; returns what is worth logging."""
        return self.watch("collect", self._collect)

    @abstractmethod
    def _collect(self) -> dict[str, float]:
        """`collect`, with the policy that is being trained."""

    def _collect_with(self, sampling: Sampling) -> dict[str, float]:
        new_steps, report = self._collector.collect(sampling, self.env_steps, self._store)
        self.env_steps += new_steps
        return report

    @abstractmethod
    def _store(self, part: Episode, continues: bool) -> None:
        """Keep an episode, or with `continues` the next part of the last one."""

    def update(self, part: str) -> Float[Tensor, " reported"]:
        """One update of a part, by its name in `REPORTED`."""
        return getattr(self, "_update_policy" if part == "behavior" else f"_update_{part}")()

    @staticmethod
    def _repeat(times: int, update: Callable[[], Float[Tensor, " reported"]]) -> Float[Tensor, " reported"]:
        """Mean of what `times` updates report, still on the device."""
        return torch.stack([update() for _ in range(times)]).mean(dim=0)

    def _reported(self, group: str, values: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, " reported"]:
        """An update's numbers in the order of `REPORTED`."""
        return torch.stack([values[name].detach() for name in self.REPORTED[group]])

    def _read(
        self,
        reports: Mapping[str, Float[Tensor, " reported"]],
        weights: Iterable[Tensor],
        trained: Sequence[Tensor],
        acting: Sequence[Tensor],
    ) -> Scalars:
        """The reported numbers by name; also copies the weights `trained` into `acting`.

        One transfer from the device brings the numbers, whether all `weights` are finite, and `trained`. The
        last update may have broken a weight that no loss has seen yet, and no checkpoint may hold it.

        Raises:
            DivergedError: a number or a weight is not finite.
        """
        sound = torch.stack([weight.isfinite().all() for weight in weights]).all()
        sizes = [values.numel() for values in trained]
        flat = [values.detach().flatten() for values in trained]
        transferred = torch.cat([*reports.values(), sound.float()[None], *flat]).cpu()
        *numbers, weights_are_finite = transferred[: -sum(sizes)].tolist()
        found = iter(numbers)
        scalars: Scalars = {group: {name: next(found) for name in self.REPORTED[group]} for group in reports}
        place = f"in epoch {self.epoch} at {self.env_steps} environment steps"
        for group, values in scalars.items():
            if not np.isfinite(list(values.values())).all():
                raise DivergedError(f"{group} is not finite {place}: {values}")
        if not weights_are_finite:
            raise DivergedError(f"a weight is not finite {place}")
        for target, source in zip(acting, transferred[-sum(sizes) :].split(sizes), strict=True):
            target.data.copy_(source.view_as(target))
        return scalars

    def state_dict(self) -> dict[str, Any]:
        """Everything: counters, environment, replay, networks, optimisers, random streams."""
        return {
            "env_steps": self.env_steps,
            "epoch": self.epoch,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state` bit for bit (with a new episode where the simulator could not be saved)."""
        self.env_steps, self.epoch = int(state["env_steps"]), int(state["epoch"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self._act_with_what_was_learned()

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """Everything with a `state_dict`, by its name in a checkpoint."""

    @abstractmethod
    def _act_with_what_was_learned(self) -> None:
        """Update the copies that act after weights were loaded."""

    def close(self) -> None:
        """Release the environment."""
        self._collector.environment.close()
