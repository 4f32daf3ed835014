"""What `benchmarks.fused_unet` compares and times: calls of the denoiser's network, plain and fused."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.workload import CONFIG
from dima.config.grid import CellKey, load_grid
from dima.world_model.denoiser import Denoiser
from dima.world_model.fused.layout import Layout
from dima.world_model.fused.network import FusedNetwork, Launch

ROWS = {
    "cuda": {"imagined": 600, "predicted": 64, "trained": 192},
    "cpu": {"imagined": 5, "predicted": 3, "trained": 2},
}
"""Of a policy update, and of predictions and the loss in a denoiser update; few for the slow interpreter."""
CHECKED = {"cuda": (37, 20), "cpu": (2, 2)}
"""Rows to compare, and calls that must give the same bits."""
CALLS, REPLAYS, TAKEN = 10, 5, 7
"""Calls in a graph, replays of it in one measurement, and measurements."""

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`Denoiser.network`."""


class Bench:
    """A denoiser of the paper's sizes with random weights, the layout of its network, and inputs for it."""

    def __init__(self, device: torch.device, state_dim: int) -> None:
        self.device, self.state_dim = device, state_dim
        torch.manual_seed(0)
        config = load_grid("paper", CONFIG).resolve(CellKey("halfcheetah-2x3", "dima", 1)).parameters.denoiser
        self.denoiser = Denoiser(state_dim, 2, 3, config)
        for parameter in self.denoiser.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        self.denoiser.to(device)
        self.layout = Layout(
            self.denoiser.read, self.denoiser.unet, self.denoiser.write_norm, self.denoiser.write
        )

    @property
    def device_name(self) -> str:
        """The card's name, or "cpu"."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def plain(self) -> Network:
        """The network layer by layer."""
        return self.denoiser.prepared()

    def compile_plain(self) -> None:
        """Compile the plain network, like a learner with the preset `fast`."""
        self.denoiser.compile_network()

    def fused(self, launch: Launch) -> Callable[[], Network]:
        """Prepares the fused network."""
        return FusedNetwork(self.layout, launch).prepared

    def inputs(self, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled noisy states, histories, modulation."""
        shapes = ((rows, self.state_dim), (rows, 3, self.state_dim), (rows, self.layout.modulated))
        noisy, history, modulation = (torch.randn(shape, device=self.device) for shape in shapes)
        return noisy, history, modulation

    def without_gradients(self, prepared: Callable[[], Network], rows: int) -> Callable[[], Tensor]:
        """A call with weights that are already prepared."""
        inputs = self.inputs(rows)
        with torch.no_grad():
            network = prepared()
        return torch.no_grad()(lambda: network(*inputs))

    def with_gradients(self, prepared: Callable[[], Network], rows: int) -> Callable[[], tuple[Tensor, ...]]:
        """A call that prepares weights, runs forward, and returns gradients of modulation and all weights."""
        noisy, history, modulation = self.inputs(rows)
        modulation.requires_grad_()
        weight = torch.randn_like(noisy)
        learned = [modulation, *self.layout.parameters]
        return lambda: torch.autograd.grad((prepared()(noisy, history, modulation) * weight).sum(), learned)

    def each_call(
        self, prepared: Callable[[], Network], *, gradients: bool = True
    ) -> dict[str, Callable[[], Any]]:
        """Every call to time; each has run once."""
        rows = ROWS[self.device.type]
        calls: dict[str, Callable[[], Any]] = {
            use: self.without_gradients(prepared, rows[use]) for use in ("imagined", "predicted")
        }
        if gradients:
            calls["trained"] = self.with_gradients(prepared, rows["trained"])
        for call in calls.values():
            call()
        return calls


def errors(bench: Bench, launch: Launch) -> dict[str, Any]:
    """Whether calls give the same bits; relative errors of the output and, in float32, the worst gradient.

    Gradients in float16 would need a scaled loss.
    """
    fused, (rows, calls) = bench.fused(launch), CHECKED[bench.device.type]
    call, wanted = alike(lambda prepared: bench.without_gradients(prepared, rows), fused, bench.plain)
    outputs = [call() for _ in range(calls)]
    found: dict[str, Any] = {"same_bits": all(torch.equal(outputs[0], output) for output in outputs)}
    found["output"] = relative_error(outputs[0], wanted())
    if launch.weights == torch.float32:
        taken, wanted = alike(lambda prepared: bench.with_gradients(prepared, rows), fused, bench.plain)
        each = [relative_error(*pair) for pair in zip(taken(), wanted(), strict=True)]
        found["worst_gradient"] = torch.tensor(each).max().item()  # NaN, if one is
    return found


def alike(
    make: Callable[[Callable[[], Network]], Callable[[], Any]], *networks: Callable[[], Network]
) -> list[Callable[[], Any]]:
    """A call of each network, all with the same inputs."""
    calls = []
    for prepared in networks:
        torch.manual_seed(1)
        calls.append(make(prepared))
    return calls


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """|a - b| / |b|."""
    return ((found - wanted).double().norm() / wanted.double().norm()).item()


def times(bench: Bench, prepared: Callable[[], Network], *, gradients: bool = True) -> dict[str, float]:
    """Microseconds of each call."""
    return {
        use: microseconds(call, bench.device)
        for use, call in bench.each_call(prepared, gradients=gradients).items()
    }


def microseconds(call: Callable[[], Any], device: torch.device) -> float:
    """Of one call: the median over replays of a CUDA graph of `CALLS` calls; on a CPU a single call."""
    if device.type == "cpu":
        started = time.perf_counter()
        call()
        return 1e6 * (time.perf_counter() - started)
    graph = graph_of(call)
    taken = []
    for _ in range(TAKEN):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(REPLAYS):
            graph.replay()
        end.record()
        end.synchronize()
        taken.append(1e3 * start.elapsed_time(end) / REPLAYS / CALLS)
    return statistics.median(taken)


def graph_of(call: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """A graph of `CALLS` calls, recorded after warm-up calls on a side stream; replayed once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            call()
    graph.replay()
    return graph
