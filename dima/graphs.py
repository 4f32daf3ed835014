"""Work on static shapes as CUDA graphs: recorded once, then launched as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

EAGER_CALLS = 3


class Recorded(NamedTuple):
    """A graph with the tensors it reads and the one it leaves its result in."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Any, ...]
    result: Tensor


class Graphed:
    """A function that a GPU replays as one graph from the fourth call on; elsewhere, or where recording it fails, the function itself.

    Args:
        name: of the work, for the line that says why it is not recorded.
        function: of tensors, or dataclasses of tensors, of the same shapes at every call, to a tensor. It must not ask the device anything.
            What it changes besides (weights, moments, generators) it must change in place.
        generators: from which it draws; the global one is always among them.
        enabled: False: the function itself, always.
    """

    def __init__(self, name: str, function: Callable[..., Tensor], generators: Sequence[torch.Generator], *, enabled: bool) -> None:
        self._name = name
        self._function = function
        self._generators = generators
        self._enabled = enabled
        self.forget()

    def forget(self) -> None:
        """Record anew, as is needed when something the function changes was replaced rather than changed in place."""
        self._calls = 0
        self._recorded: Recorded | None = None

    def __call__(self, *inputs: Any) -> Tensor:
        """The function's result, a tensor of its own at every call."""
        if not self._enabled:
            return self._function(*inputs)
        if self._recorded is None and self._calls < EAGER_CALLS:
            self._calls += 1
            return self._call_beside(inputs)
        self._recorded = self._recorded or self._record(inputs)
        if self._recorded is None:
            return self._function(*inputs)
        for kept, new in zip(_tensors(self._recorded.inputs), _tensors(inputs), strict=True):
            kept.copy_(new)
        self._recorded.graph.replay()
        return self._recorded.result.clone()

    def _call_beside(self, inputs: tuple[Any, ...]) -> Tensor:
        """An eager call on a stream of its own, as recording needs it: what is set up at a first use must not be part of the graph."""
        stream, current = _warm_up_stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            result = self._function(*inputs)
        current.wait_stream(stream)
        return result

    def _record(self, inputs: tuple[Any, ...]) -> Recorded | None:
        """Record without running. Where that fails, one line says why, and it is not tried again."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        kept = tuple(_cloned(value) for value in inputs)
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph):
                result = self._function(*kept)
        except RuntimeError as error:
            torch.cuda.set_stream(stream)  # a recording that fails leaves its own stream current
            self._enabled = False
            print(f"{self._name} runs eagerly, not as a CUDA graph: {str(error).splitlines()[0]}", flush=True)
            return None
        return Recorded(graph, kept, result)


@cache
def _warm_up_stream() -> torch.cuda.Stream:
    """One for all, since the memory of one stream is not used on another."""
    return torch.cuda.Stream()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value if isinstance(value, tuple) else [getattr(value, field.name) for field in fields(value)]
    return [tensor for part in parts for tensor in _tensors(part)]


def _cloned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a graph takes tensors and dataclasses of them, not {type(value).__name__}")
    return type(value)(**{field.name: _cloned(getattr(value, field.name)) for field in fields(value)})
