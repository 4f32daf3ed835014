"""The layout as tables of integers: which slot of scratch memory each step and term reads and writes.

The scratch memory holds [rows, 4, 64] tensors: `raws`, outputs of steps in float32, which are added and
normalised, and `sides`, what products read, in the type of their weights.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from dima.kernels.tables import BACKWARD_FIELDS, FORWARD_FIELDS, encoded
from dima.world_model.fused.layout import Layout, Source, Term

Thing = TypeVar("Thing", bound=Hashable)


class ForwardTables(NamedTuple):
    """What the forward kernel does.

    Attributes:
        steps: a row for each, see `FORWARD_FIELDS`.
        terms: encoded.
        raws: slots of outputs.
        sides: slots of what products read.
        last: the slot of the last step's output.
    """

    steps: Int[Tensor, "steps fields"]
    terms: Int[Tensor, " terms"]
    raws: int
    sides: int
    last: int


class BackwardTables(NamedTuple):
    """What the backward kernel does, and where the weights are that it reads.

    Attributes:
        steps: a row for each but the last, backwards, see `BACKWARD_FIELDS`. A step's gradient is in the slot
            of its number.
        terms: encoded; they read gradients of steps.
        weights: for each term the number of the forward term whose weight it reads, transposed.
    """

    steps: Int[Tensor, "steps fields"]
    terms: Int[Tensor, " terms"]
    weights: Int[Tensor, " terms"]


class Slots(NamedTuple):
    """Where things are in the scratch memory: outputs by step, and what products read by source."""

    raws: Mapping[int, int]
    sides: Mapping[Source, int]


def slots(layout: Layout, *, keep: bool) -> Slots:
    """A slot for each thing that is read, reused after its last read unless `keep`, for the gradients.

    With `keep` the output of step n is in slot n, and there is one more slot of sides than sources, for what
    `write` reads.
    """
    steps = range(len(layout.steps))
    sides = [layout.sources(step) for step in steps]
    if keep:
        return Slots(
            {step: step for step in steps}, {source: slot for slot, source in enumerate(sum(sides, []))}
        )
    last_use: dict[Hashable, int] = {steps[-1]: len(steps)}
    for number, step in enumerate(layout.steps):
        last_use |= {step.residual: number} if step.residual >= 0 else {}
        last_use |= {term.source: number for term in step.terms}
    return Slots(
        _assigned([[step] if step in last_use else [] for step in steps], last_use),
        _assigned(sides, last_use),
    )


def _assigned(made: Sequence[Sequence[Thing]], last_use: Mapping[Hashable, int]) -> dict[Thing, int]:
    """The first free slot for each thing, made step by step."""
    found: dict[Thing, int] = {}
    busy_until: list[int] = []
    for number, things in enumerate(made):
        for thing in things:
            # not one that this very step reads: another warp may still be reading it when this one writes
            slot = next((slot for slot, until in enumerate(busy_until) if until < number), len(busy_until))
            busy_until[slot : slot + 1] = [last_use[thing]]
            found[thing] = slot
    return found


def forward_tables(layout: Layout, *, keep: bool) -> ForwardTables:
    """Of the forward pass; with `keep` everything that the gradients need stays in the scratch memory."""
    raws, sides = slots(layout, keep=keep)
    terms = [_reading(term, sides[term.source]) for _, term in layout.terms()]
    rows, end = [], 0
    for number, step in enumerate(layout.steps):
        begin, end = end, end + len(step.terms)
        first, second = (*step.biases, -1)[:2]
        row = [
            begin,
            end,
            step.length,
            first,
            second,
            raws.get(step.residual, -1),
            raws.get(number, -1),
            sides.get(Source(number), -1),
        ]
        for source in layout.sources(number):
            row += [sides[source], source.factor, source.shift] if source.factor >= 0 else []
        rows.append(row)
    counts = [max(used.values()) + 1 for used in (raws, sides)]
    return ForwardTables(
        _table(rows, FORWARD_FIELDS), _integers(terms), counts[0], counts[1] + keep, raws[len(rows) - 1]
    )


def backward_tables(layout: Layout) -> BackwardTables:
    """Of the backward pass: a source's gradient sums over the terms that read it, with transposed weights."""
    readers: dict[Source, list[tuple[int, int]]] = {}  # code and number of terms
    for index, (number, term) in enumerate(layout.terms()):
        # output[t] read source[(stride t + offset) / spread], so source[s] is read by output[(spread s -
        # offset) / stride]
        code = encoded(number, layout.steps[number].length, term.spread, -term.offset, term.stride)
        readers.setdefault(term.source, []).append((code, index))
    residuals = {step.residual: number for number, step in enumerate(layout.steps)}
    rows, terms = [], []
    for number in reversed(range(len(layout.steps) - 1)):
        begin = len(terms)
        terms += readers.get(Source(number), [])
        activations = [source for source in layout.sources(number) if source.factor >= 0]
        row = [
            begin,
            len(terms),
            layout.steps[number].length,
            residuals.get(number, -1),
            len(activations),
            number,
        ]
        for source in activations:
            terms += readers[source]
            row += [len(terms), source.factor, source.shift]
        rows.append(row)
    codes, weights = zip(*terms, strict=True)
    return BackwardTables(_table(rows, BACKWARD_FIELDS), _integers(codes), torch.tensor(weights))


def weight_table(layout: Layout) -> Int[Tensor, "terms fields"]:
    """For each forward term the inputs of its weight's gradient, see `WEIGHT_FIELDS`.

    The first terms of a step also sum its biases'.
    """
    sides = slots(layout, keep=True).sides
    rows = []
    for number, step in enumerate(layout.steps):
        for index, term in enumerate(step.terms):
            rows.append(
                [_reading(term, sides[term.source]), number, (step.biases[index : index + 1] or [-1])[0]]
            )
    return _integers(rows)


def _reading(term: Term, slot: int) -> int:
    return encoded(slot, term.length, term.stride, term.offset, term.spread)


def _table(rows: Sequence[Sequence[int]], fields: int) -> Int[Tensor, "rows fields"]:
    return _integers([[*row, *[-1] * (fields - len(row))] for row in rows])


def _integers(values: Sequence[int] | Sequence[Sequence[int]]) -> Int[Tensor, "*shape"]:
    return torch.tensor(values, dtype=torch.int32)
