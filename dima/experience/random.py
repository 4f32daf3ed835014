"""One root seed, many named random streams, so that drawing more from one never changes another."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dima.errors import UserError


def stream_seed(root_seed: int, name: str, *indices: int) -> int:
    """A 32-bit seed for the stream `name`, and for example its n-th evaluation, of a run with `root_seed`."""
    # the count keeps seeds with an index of 0 apart from seeds without one: numpy ignores trailing zeros
    entropy = [root_seed, zlib.crc32(name.encode()), len(indices), *indices]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


class RandomStreams:
    """Named generators on one device, and the global torch generator, which dropout alone draws from.

    Args:
        root_seed: the seed of the cell.
        names: one stream each.
        device: where the streams draw.
    """

    def __init__(self, root_seed: int, names: Sequence[str], device: torch.device) -> None:
        self._root_seed = root_seed
        self._device = device
        self._generators = {
            name: torch.Generator(device).manual_seed(stream_seed(root_seed, name)) for name in names
        }
        torch.manual_seed(stream_seed(root_seed, "dropout"))

    def __getitem__(self, name: str) -> torch.Generator:
        return self._generators[name]

    def state_dict(self) -> dict[str, Any]:
        """The position of every stream."""
        global_states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            global_states["cuda"] = torch.cuda.get_rng_state(self._device)
        return {
            "device": self._device.type,
            "named": {name: stream.get_state() for name, stream in self._generators.items()},
            "global": global_states,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue every stream from `state`; a stream that it lacks begins as in a new run.

        Raises:
            UserError: it is from another kind of device, which draws other numbers.
        """
        if state["device"] != self._device.type:
            raise UserError(
                f"The checkpoint was made on {state['device']}, and random numbers of {self._device.type} "
                "are others: "
                f"continue with --device {state['device']}, or start again with --from-scratch."
            )
        for name, stream in self._generators.items():
            if name in state["named"]:
                stream.set_state(state["named"][name].cpu())
            else:
                stream.manual_seed(stream_seed(self._root_seed, name))
        torch.set_rng_state(state["global"]["cpu"].cpu())
        if self._device.type == "cuda" and "cuda" in state["global"]:
            torch.cuda.set_rng_state(state["global"]["cuda"].cpu(), self._device)
