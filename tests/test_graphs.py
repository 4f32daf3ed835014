"""What a recorded graph is given and gives back; a stand-in replays by calling the function again on the tensors it was recorded with."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import torch

from dima import graphs
from dima.graphs import EAGER_CALLS, Graphed, Recorded


@dataclass(frozen=True)
class Pair:
    first: torch.Tensor
    second: torch.Tensor


class StandIn(Graphed):
    """As on a GPU, but for streams and the recording itself."""

    def _call_beside(self, inputs):
        return self._function(*inputs)

    def _record(self, inputs):
        kept = tuple(graphs._cloned(value) for value in inputs)
        result = torch.empty(2)
        function = self._function

        class Graph:
            replays = 0

            def replay(self):
                self.replays += 1
                result.copy_(function(*kept))

        return Recorded(Graph(), kept, result)


def total(scale, pair):
    return scale * (pair.first + pair.second)


def inputs(value):
    return torch.tensor(value), Pair(torch.tensor([value, 1.0]), torch.tensor([0.0, value]))


def test_it_is_recorded_after_three_eager_calls_and_then_replayed_with_each_calls_inputs():
    graphed = StandIn("Adding", total, [], enabled=True)
    results = []
    for call in range(EAGER_CALLS + 3):
        results.append(graphed(*inputs(float(call))))
        assert (graphed._recorded is None) == (call < EAGER_CALLS)
    assert graphed._recorded.graph.replays == 3
    for call, result in enumerate(results):  # every result is a tensor of its own
        torch.testing.assert_close(result, torch.tensor([call * call, call * (1.0 + call)]).float())


def test_forgetting_records_anew():
    graphed = StandIn("Adding", total, [], enabled=True)
    for call in range(EAGER_CALLS + 1):
        graphed(*inputs(float(call)))
    graphed.forget()
    graphed(*inputs(1.0))
    assert graphed._recorded is None


def test_without_a_gpu_it_is_the_function():
    calls = []
    graphed = Graphed("Adding", lambda *given: calls.append(given) or torch.zeros(1), [], enabled=False)
    for _ in range(EAGER_CALLS + 2):
        graphed(*inputs(2.0))
    assert len(calls) == EAGER_CALLS + 2


def test_a_failed_recording_is_said_once_and_the_function_runs(monkeypatch, capsys):
    class Graph:
        def register_generator_state(self, generator):
            pass

    class Fails(nullcontext):
        def __enter__(self):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: Fails())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "the stream before")
    current = []
    monkeypatch.setattr(torch.cuda, "set_stream", current.append)
    monkeypatch.setattr(Graphed, "_call_beside", lambda graphed, given: graphed._function(*given))
    graphed = Graphed("Adding", total, [torch.Generator()], enabled=True)
    for call in range(EAGER_CALLS + 3):
        torch.testing.assert_close(graphed(*inputs(float(call))), total(*inputs(float(call))))
    said = "Adding runs eagerly, not as a CUDA graph: operation not permitted when stream is capturing\n"
    assert capsys.readouterr().out == said
    assert current == ["the stream before"]


def test_other_inputs_are_refused():
    with pytest.raises(TypeError, match="not float"):
        graphs._cloned(1.0)
