"""Repeated updates as CUDA graphs, recorded once and launched as a whole; independent ones in parallel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dima.learning.compiled import uncompiled_where_that_fails

EAGER_CALLS = 3
UPDATES_PER_GRAPH = 10

Update = Callable[[], Float[Tensor, " reported"]]
"""One update of a part, and what it reports."""


class Recorded(NamedTuple):
    """A graph and the tensors it leaves its results in."""

    graph: torch.cuda.CUDAGraph
    results: tuple[Tensor, ...]


class Graphed:
    """A function that a GPU replays as one graph from the fourth call on, or calls if recording fails.

    Args:
        name: of the work, for the message that says why it is not recorded.
        function: always of the same shapes. It must not wait for the device, and must change weights, moments
            and generators in place.
        generators: from which it draws, besides the global one.
    """

    def __init__(
        self, name: str, function: Callable[[], tuple[Tensor, ...]], generators: Sequence[torch.Generator]
    ) -> None:
        self._name = name
        self._function = function
        self._generators = generators
        self._calls = 0
        self._fails = False
        self._recorded: Recorded | None = None

    @property
    def recorded(self) -> bool:
        """Whether calls replay a graph."""
        return self._recorded is not None

    def __call__(self) -> tuple[Tensor, ...]:
        """The function's results, as new tensors at every call."""
        if self._fails:
            return self._function()
        if self._calls < EAGER_CALLS:
            self._calls += 1
            return self._call_beside()
        self._recorded = self._recorded or self._record()
        if self._recorded is None:
            self._fails = True
            return self._function()
        self._recorded.graph.replay()
        return tuple(result.clone() for result in self._recorded.results)

    def _call_beside(self) -> tuple[Tensor, ...]:
        """An eager call on another stream, so that first-use setup is not part of the graph."""
        stream, current = _stream("warm-up"), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            results = self._function()
        current.wait_stream(stream)
        return results

    def _record(self) -> Recorded | None:
        """Record without running. If that fails, one line says why, and it is not tried again."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph):
                results = self._function()
        except RuntimeError as error:
            torch.cuda.set_stream(stream)  # a recording that fails leaves its own stream current
            print(f"{self._name} runs eagerly, not as a CUDA graph: {str(error).splitlines()[0]}", flush=True)
            return None
        return Recorded(graph, results)


class Updates:
    """Updates of independent parts: in any order the results are the same bits.

    A graph holds up to `per_graph` parallel updates of each of its parts; other parts run before.

    Args:
        generators: from which the updates draw; no two parts may share one.
        recorded: the parts that become graphs.
        per_graph: updates of a part in one graph.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        recorded: Collection[str],
        per_graph: int = UPDATES_PER_GRAPH,
    ) -> None:
        self._generators = generators
        self._parts = recorded
        self._per_graph = per_graph
        self._rounds: dict[tuple[tuple[str, int], ...], Graphed] = {}

    def forget(self) -> None:
        """Record again, which is needed after replacing a tensor that the updates change in place."""
        self._rounds = {}

    def records(self, part: str) -> bool:
        """Whether a graph holds updates of the part."""
        return any(graphed.recorded and part in dict(counts) for counts, graphed in self._rounds.items())

    def __call__(self, work: Mapping[str, tuple[int, Update]]) -> dict[str, Float[Tensor, "times reported"]]:
        """Do every part's update as often as `work` says, and return what each of them reported."""
        reports = {
            name: [_repeated(times, update)]
            for name, (times, update) in work.items()
            if name not in self._parts
        }
        together = {name: times for name, (times, _) in work.items() if name in self._parts}
        for counts in rounds(together, self._per_graph):
            for name, reported in zip(counts, self._graphed(counts, work)(), strict=True):
                reports.setdefault(name, []).append(reported)
        return {name: torch.cat(reports[name]) for name in work}

    def _graphed(self, counts: Mapping[str, int], work: Mapping[str, tuple[int, Update]]) -> Graphed:
        """The graph of a round; one for each combination of counts."""
        key = tuple(counts.items())
        if key not in self._rounds:
            parts = {name: partial(_repeated, times, work[name][1]) for name, times in key}
            self._rounds[key] = Graphed(
                f"Learning of {', '.join(counts)}", partial(side_by_side, parts), self._generators
            )
        return self._rounds[key]


def rounds(times: Mapping[str, int], at_most: int) -> Iterator[dict[str, int]]:
    """Split `times` into rounds of at most `at_most` updates of each part."""
    for done in range(0, max(times.values(), default=0), at_most):
        yield {name: min(at_most, count - done) for name, count in times.items() if count > done}


def side_by_side(parts: Mapping[str, Callable[[], Tensor]]) -> tuple[Tensor, ...]:
    """What the parts return, each on its own stream, forked from the current one and joined at the end."""
    current, results = torch.cuda.current_stream(), []
    for name, part in parts.items():
        _stream(name).wait_stream(current)
        with torch.cuda.stream(_stream(name)):
            results.append(part())
    for name in parts:
        current.wait_stream(_stream(name))
    return tuple(results)


@cache
def _stream(_use: str) -> torch.cuda.Stream:
    """One stream for each use, kept: memory of one stream is not reused on another."""
    return torch.cuda.Stream()


def _repeated(times: int, update: Update) -> Float[Tensor, "times reported"]:
    return torch.stack([uncompiled_where_that_fails(update) for _ in range(times)])
