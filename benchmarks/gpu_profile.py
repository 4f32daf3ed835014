"""Kernels of a method's updates by part, attention by shape, overlap of streams: `benchmarks.gpu --profile`.

The last line is the result as JSON. On a CPU, operators that no other operator called take the place of
kernels, all on one stream.

A part is one update of one of our learners, called by itself. Calls of torch's attention are found in a
first, uncompiled update, and every shape is then timed by itself: inside graphs and compiled parts no shape
is visible. The profiled epoch has few updates, since every kernel costs the profiler time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_learner import fill
from benchmarks.gpu_pace import print_found
from benchmarks.stages import learning, watched
from benchmarks.timing import finish, seconds_of
from dima.cell.methods import build_learner
from dima.config import CellConfig
from dima.config.grid import merge, validate
from dima.errors import UserError
from dima.experience.replay import Replay
from dima.learning.native_learner import NativeLearner

UPDATES = {"updates_per_epoch": 20, "policy_updates_per_epoch": 2}
"""At most, in the profiled epoch."""
MILLISECONDS = 100.0
"""How long a part is profiled: at least one update, at most `UPDATES`."""
WARM_UP, REPEATS, SHOWN = 3, 20, 14

Update = Callable[[], Tensor]


class Kernel(NamedTuple):
    """A kernel that ran: its name, when it ran [us], and on which stream."""

    name: str
    start: float
    end: float
    stream: int


class Attention(NamedTuple):
    """What decides the cost of a call of attention."""

    query: tuple[int, ...]
    key: tuple[int, ...]
    dtype: torch.dtype
    mask: tuple[int, ...] | None
    dropout: float
    causal: bool
    gradients: bool


@contextmanager
def attention_calls() -> Iterator[Counter[Attention]]:
    """Counts the calls of `scaled_dot_product_attention`, also those of torch's own layers."""
    calls: Counter[Attention] = Counter()
    attend = F.scaled_dot_product_attention

    def noted(*inputs: Any, **options: Any) -> Tensor:
        calls[_attention(*inputs, **options)] += 1
        return attend(*inputs, **options)

    with patch.object(F, "scaled_dot_product_attention", noted):
        yield calls


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **_: Any,
) -> Attention:
    """The signature is that of torch's function."""
    mask = None if attn_mask is None else tuple(attn_mask.shape)
    gradients = torch.is_grad_enabled() and query.requires_grad
    return Attention(tuple(query.shape), tuple(key.shape), query.dtype, mask, dropout_p, is_causal, gradients)


def profiled(config: CellConfig, device: torch.device) -> dict[str, Any]:
    """What `profile_text` shows: `attention`, `parts` and one whole `epoch`.

    Raises:
        UserError: it is one of HARL's methods.
    """
    with closing(build_learner(config, device)) as learner:
        if not isinstance(learner, NativeLearner):
            raise UserError(
                f"Method {config.method} learns in HARL's code; only our own methods have a profile."
            )
        collected = learner.collect()
        memory = getattr(learner, "replay", None)
        if isinstance(memory, Replay):
            fill(memory)
        updates = {part: partial(learner.update, part) for part in learner.REPORTED}
        attention = {part: attention_of(update) for part, update in updates.items()}
        with watched(learner, learning(collected)):
            for _ in range(WARM_UP):
                learner.run_epoch()
            return {
                "attention": [
                    timed_attention(part, call, calls, device)
                    for part, seen in attention.items()
                    for call, calls in seen.items()
                ],
                "parts": {part: part_of(update, device) for part, update in updates.items()},
                "epoch": epoch_of(learner.run_epoch, device),
            }


def attention_of(update: Update) -> Counter[Attention]:
    """The attention in one update, which is run uncompiled."""
    with torch.compiler.set_stance("force_eager"), attention_calls() as calls:
        update()
    return calls


def timed_attention(part: str, call: Attention, calls: int, device: torch.device) -> dict[str, Any]:
    """Milliseconds of such a call by itself, with its gradient where it has one."""
    query, key, value = (
        torch.randn(shape, dtype=call.dtype, device=device, requires_grad=call.gradients)
        for shape in (call.query, call.key, call.key)
    )
    mask = None if call.mask is None else torch.ones(call.mask, dtype=torch.bool, device=device)

    def attend() -> None:
        for _ in range(REPEATS):
            mixed = F.scaled_dot_product_attention(query, key, value, mask, call.dropout, call.causal)
            if call.gradients:
                torch.autograd.grad(mixed.sum(), (query, key, value))

    attend()
    shape = {
        "query": call.query,
        "key": call.key,
        "dtype": str(call.dtype).removeprefix("torch."),
        "mask": call.mask is not None,
    }
    milliseconds = 1e3 * seconds_of(attend, device) / REPEATS
    return {"part": part, **shape, "gradients": call.gradients, "calls": calls, "milliseconds": milliseconds}


def part_of(update: Update, device: torch.device) -> dict[str, Any]:
    """One part's kernels, per update."""
    alone = seconds_of(update, device)
    times = max(1, min(UPDATES["updates_per_epoch"], int(MILLISECONDS / 1e3 / alone)))
    kernels, wall = kernels_of(lambda: [update() for _ in range(times)], device)
    largest = Counter[str]()
    calls = Counter(kernel.name for kernel in kernels)
    for kernel in kernels:
        largest[kernel.name] += kernel.end - kernel.start
    return {
        "updates": times,
        "wall_ms": 1e3 * wall / times,
        "busy_ms": busy(kernels) / 1e3 / times,
        "kernels": len(kernels) / times,
        "largest": [
            {"name": name, "ms": spent / 1e3 / times, "calls": calls[name] / times}
            for name, spent in largest.most_common(SHOWN)
        ],
    }


def epoch_of(run_epoch: Callable[[], object], device: torch.device) -> dict[str, Any]:
    """An epoch's learning: time in kernels, time in which at least one ran, and time by stream."""
    kernels, wall = kernels_of(run_epoch, device)
    streams: dict[int, list[Kernel]] = {}
    for kernel in kernels:
        streams.setdefault(kernel.stream, []).append(kernel)
    return {
        "wall_ms": 1e3 * wall,
        "kernels": len(kernels),
        "busy_ms": busy(kernels) / 1e3,
        "covered_ms": covered(kernels) / 1e3,
        "stream_ms": {str(stream): busy(own) / 1e3 for stream, own in sorted(streams.items())},
    }


def kernels_of(call: Callable[[], object], device: torch.device) -> tuple[list[Kernel], float]:
    """The kernels that a call starts, and its wall time in seconds."""
    on_gpu = device.type == "cuda"
    finish(device)
    with profile(
        activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU], acc_events=True
    ) as recorded:
        started = time.perf_counter()
        call()
        finish(device)
        wall = time.perf_counter() - started
    return [
        Kernel(
            event.name,
            event.time_range.start,
            event.time_range.end,
            event.device_resource_id if on_gpu else 0,
        )
        for event in recorded.events() or ()
        if is_kernel(event, on_gpu)
    ], wall


def is_kernel(event: FunctionEvent, on_gpu: bool) -> bool:
    """Whether an event is work of the device, or on a CPU an operator that no other operator called."""
    if event.is_user_annotation:
        return False
    if on_gpu:
        return event.device_type == torch.autograd.DeviceType.CUDA
    caller = event.cpu_parent
    while caller is not None and not caller.name.startswith("aten::"):
        caller = caller.cpu_parent
    return event.name.startswith("aten::") and caller is None


def busy(kernels: Iterable[Kernel]) -> float:
    """Time in kernels [us], those that run side by side counted one by one."""
    return sum(kernel.end - kernel.start for kernel in kernels)


def covered(kernels: Iterable[Kernel]) -> float:
    """Time in which at least one kernel runs [us]."""
    total, end = 0.0, float("-inf")
    for kernel in sorted(kernels, key=lambda kernel: kernel.start):
        total += max(0.0, kernel.end - max(end, kernel.start))
        end = max(end, kernel.end)
    return total


def profile_text(name: str, found: Mapping[str, Any]) -> str:
    """A method's profile, as it is printed."""
    lines = [f"{name}: {found['task']}, preset {found['compute']}"]
    for part, one in found["parts"].items():
        busy_ms = f"{one['busy_ms']:.3f} of them in {one['kernels']:.0f} kernels"
        lines.append(f"\n{part}: {one['wall_ms']:.3f} ms an update, {busy_ms}")
        lines += [
            f"{kernel['ms']:9.3f} ms {kernel['calls']:8.1f} x  {kernel['name'][:100]}"
            for kernel in one["largest"]
        ]
    columns = "part | calls an update | queries | keys | precision | ms a call"
    lines.append(f"\nattention, each shape timed by itself: {columns}")
    for call in found["attention"]:
        with_gradients = " with gradients" if call["gradients"] else ""
        shapes = f"{tuple(call['query'])} | {tuple(call['key'])} | {call['dtype']}"
        lines.append(
            f"{call['part']} | {call['calls']} | {shapes} | {call['milliseconds']:.3f}{with_gradients}"
        )
    epoch = found["epoch"]
    at_once = epoch["busy_ms"] / max(epoch["covered_ms"], 1e-9)
    lines.append(
        f"\nan epoch of few updates: {epoch['wall_ms']:.1f} ms, a kernel runs in {epoch['covered_ms']:.1f} of"
        f" them, {at_once:.2f} at a time; {epoch['kernels']} kernels"
    )
    lines.append(
        "streams: " + ", ".join(f"{stream}: {ms:.1f} ms" for stream, ms in epoch["stream_ms"].items())
    )
    return "\n".join(lines)


def few_updates(config: CellConfig) -> CellConfig:
    """The same cell with few updates an epoch."""
    parameters = config.parameters.model_dump(mode="json")
    few = {
        part: {name: min(count, values[name]) for name, count in UPDATES.items() if name in values}
        for part, values in parameters.items()
        if isinstance(values, dict)
    }
    return validate(CellConfig, merge(config.model_dump(mode="json"), {"parameters": few}), "profiled cell")


def main(arguments: Sequence[str] | None = None) -> None:
    """Profile one method."""
    print_found(
        lambda config, device: profiled(few_updates(config), device), "benchmarks.gpu_profile", arguments
    )


if __name__ == "__main__":
    main()
