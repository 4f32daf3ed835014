"""Numbers without noise: floating-point operations, operator calls, kernels, waits of the host."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.contenders import Contender
from benchmarks.stages import learning, watched
from benchmarks.workload import CONFIG, PARTS, Sizes
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid, merge, validate
from dima.learning.dima_learner import DimaLearner

NO_WORK = frozenset(
    {
        "aten::_unsafe_view",
        "aten::lift_fresh",
        "aten::empty.memory_format",
        "aten::empty_like",
        "aten::empty_strided",
    }
)
WAITING = frozenset({"local_scalar_dense", "nonzero", "unique", "unique2", "masked_select", "equal"})
PRODUCT = re.compile(r"^ +extern_kernels\.\w+\(", re.MULTILINE)
WRITTEN = re.compile(r"^ +(?:cpp|triton)_\w+(?:\.run)?\(", re.MULTILINE)
"""Calls of kernels in what Inductor generates."""


class OperatorCalls(TorchDispatchMode):
    """Counts the calls of operators that compute or copy: neither views nor allocations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func.name() not in NO_WORK
        return func(*args, **(kwargs or {}))


class OperatorSeconds(TorchDispatchMode):
    """CPU time of every operator, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        started = time.process_time()
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.seconds[func.name().removeprefix("aten::").split(".")[0]] += time.process_time() - started


class HostQuestions(TorchDispatchMode):
    """Names the operations that make the host wait for a number from the device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0].lstrip("_")
        if name in WAITING:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def flops(call: Callable[[], Any]) -> int:
    """FLOPs of matrix products, convolutions and attention; a multiply-add counts as two."""
    attention: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    cpu_attention = {  # torch's counter knows attention on GPUs only
        attention: lambda *inputs, **_: sdpa_flop_count(*inputs[:3]),
        backward: lambda *inputs, **_: sdpa_backward_flop_count(*inputs[:4]),
    }
    with FlopCounterMode(display=False, custom_mapping=cpu_attention) as counter:
        call()
    return counter.get_total_flops()


def operator_calls(call: Callable[[], Any]) -> int:
    """How many operators are called."""
    with OperatorCalls() as calls:
        call()
    return calls.count


class Launches(NamedTuple):
    """Kernels of compiled code: matrix products of a library, and those that the compiler wrote."""

    products: int
    written: int


def launches(call: Callable[[], Any]) -> Launches:
    """Kernels in the code that `call` compiles, forward and backward.

    On a CPU the compiler writes C++ instead of Triton; what it fuses is nearly the same.
    """
    from torch._inductor import config, utils  # take seconds to import

    with config.patch(force_disable_caches=True):  # cached code is not generated
        _, codes = utils.run_and_get_code(call)
    bodies = [code[code.index("def call(") :] for code in codes]
    return Launches(*(sum(len(pattern.findall(body)) for body in bodies) for pattern in (PRODUCT, WRITTEN)))


class Counted(NamedTuple):
    """One call of a part, as `dima` and as the reference does it."""

    flops: tuple[int, int]
    operators: tuple[int, int]


def count_part(part: str, ours: Contender, reference: Contender) -> Counted:
    """Both contenders' counts; each is called once before, since a first call does more."""
    calls = (getattr(ours, part), getattr(reference, part))
    return Counted((flops(calls[0]), flops(calls[1])), (operator_calls(calls[0]), operator_calls(calls[1])))


def flops_per_epoch(sizes: Sizes, counted: Mapping[str, Counted]) -> tuple[float, float]:
    """Of an epoch's learning, ours and the reference's; counts grow with the rows."""
    ours, reference = (
        sum(sizes.calls_per_epoch(part) * counted[part].flops[side] for part in PARTS) for side in (0, 1)
    )
    return ours, reference


def host_questions_of_an_epoch(learner: DimaLearner) -> int:
    """How often the next epoch's learning waits for the device; environment steps run on the host."""
    with watched(learner, learning(learner.collect())), HostQuestions() as questions:
        learner.run_epoch()
    return len(questions.names)


def host_questions_per_epoch(updates: int) -> int:
    """The same for push-mass with `updates` updates of every part, of which it should be independent."""
    changes = {part: {"updates_per_epoch": updates} for part in PARTS[:3]} | {
        "behavior": {"policy_updates_per_epoch": updates}
    }
    few = {"parameters": changes | {"schedule": {"first_epoch_update_factor": 1}}}
    cell = load_grid("quick", CONFIG).resolve(CellKey("push-mass", "dima", 1)).model_dump(mode="json")
    learner = DimaLearner(validate(CellConfig, merge(cell, few), "the counted cell"), torch.device("cpu"))
    learner.run_epoch()
    return host_questions_of_an_epoch(learner)
