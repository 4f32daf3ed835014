"""How updates become rounds, graphs and streams; a stand-in replays by calling the function again."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import torch

from dima.learning import graphs
from dima.learning.graphs import EAGER_CALLS, Graphed, Updates, rounds, side_by_side


class StandIn(Graphed):
    """As on a GPU, but for streams and the recording itself."""

    def _call_beside(self):
        found = self._function()
        self.results = tuple(torch.empty_like(result) for result in found)
        return found

    def _record(self):
        results, function = self.results, self._function

        class Graph:
            replays = 0

            def replay(self):
                self.replays += 1
                for kept, result in zip(results, function(), strict=True):
                    kept.copy_(result)

        return graphs.Recorded(Graph(), results)


class Counter:
    """An update that reports how many came before it, and twice that."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return torch.tensor([self.calls - 1.0, 2 * self.calls - 2.0])


@pytest.fixture
def stand_ins(monkeypatch):
    """The rounds' functions become stand-ins, and parts have their turns one after the other; returns what
    was made."""
    made = []

    def graphed(*given):
        made.append(StandIn(*given))
        return made[-1]

    monkeypatch.setattr(graphs, "Graphed", graphed)
    monkeypatch.setattr(graphs, "side_by_side", lambda parts: tuple(part() for part in parts.values()))
    return made


def test_it_is_recorded_after_three_eager_calls_and_every_result_is_a_tensor_of_its_own():
    counter = Counter()
    graphed = StandIn("Counting", lambda: (counter(), counter()[:1]), [])
    results = []
    for call in range(EAGER_CALLS + 3):
        results.append(graphed())
        assert graphed.recorded == (call >= EAGER_CALLS)
    assert graphed._recorded.graph.replays == 3
    assert [[part.tolist() for part in result] for result in results] == [
        [[2.0 * n, 4.0 * n], [2.0 * n + 1]] for n in range(6)
    ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"a": 20, "b": 20}, [{"a": 10, "b": 10}] * 2),
        ({"a": 23, "b": 7, "c": 13}, [{"a": 10, "b": 7, "c": 10}, {"a": 10, "c": 3}, {"a": 3}]),
        ({"a": 3}, [{"a": 3}]),
        ({}, []),
    ],
)
def test_rounds_share_the_updates_out(times, expected):
    assert list(rounds(times, 10)) == expected


def test_every_part_has_exactly_its_updates_and_reports_them_in_their_order(stand_ins):
    """Over calls of which the last ones replay graphs: one graph for each combination of counts."""
    counters = {name: Counter() for name in "abc"}
    times = {"a": 23, "b": 7, "c": 20}
    updates = Updates([], "abc")
    for call in range(EAGER_CALLS + 2):
        reports = updates({name: (times[name], counters[name]) for name in "abc"})
        for name, count in times.items():
            numbers = torch.arange(call * count, (call + 1) * count, dtype=torch.float32)
            torch.testing.assert_close(reports[name], torch.stack([numbers, 2 * numbers], dim=1))
    assert [updates.records(name) for name in "abcd"] == [True, True, True, False]
    assert [made._recorded.graph.replays for made in stand_ins] == [2, 3 + 2 - 3, 2]
    updates.forget()
    assert not updates.records("a")


def test_parts_that_are_not_recorded_run_by_themselves(stand_ins):
    order, counters = [], {name: Counter() for name in "ab"}
    work = {name: (2, lambda name=name: order.append(name) or counters[name]()) for name in "ab"}
    reports = Updates([], "a")(work)
    assert order == ["b", "b", "a", "a"]
    assert list(reports) == ["a", "b"]
    assert reports["b"].tolist() == [[0.0, 0.0], [1.0, 2.0]]
    assert len(stand_ins) == 1
    assert Updates([], ())(work)["a"].tolist() == [[2.0, 4.0], [3.0, 6.0]]
    assert len(stand_ins) == 1


def test_parts_fork_from_the_stream_they_are_called_on_and_join_it(monkeypatch):
    """In the order of the driver's calls: no part before its stream has waited, nothing after before all
    parts are waited for."""
    done = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            done.append(f"{self.name} waits for {other.name}")

    current = [Stream("current")]

    @contextmanager
    def on(stream):
        current.append(stream)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(graphs, "_stream", Stream)

    def part(value):
        done.append(f"{value} on {current[-1].name}")
        return torch.tensor(value)

    results = side_by_side({"a": partial(part, 1), "b": partial(part, 2)})
    assert [int(result) for result in results] == [1, 2]
    assert done == [
        "a waits for current", "1 on a", "b waits for current", "2 on b", "current waits for a",
        "current waits for b",
    ]  # fmt: skip


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
    monkeypatch.setattr(Graphed, "_call_beside", lambda graphed: graphed._function())
    counter = Counter()
    graphed = Graphed("Counting", lambda: (counter(),), [torch.Generator()])
    for call in range(EAGER_CALLS + 3):
        assert graphed()[0].tolist() == [call, 2 * call]
    said = "Counting runs eagerly, not as a CUDA graph: operation not permitted when stream is capturing\n"
    assert capsys.readouterr().out == said
    assert current == ["the stream before"]
