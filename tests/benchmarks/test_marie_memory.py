"""What is said of MARIE's memory, against what is kept and allocated."""

from __future__ import annotations

import pytest
import torch
from conftest import CONFIG

from benchmarks import marie_memory
from benchmarks.marie_memory import Sizes
from dima.config import MarieParameters
from dima.config.grid import merge, validate
from dima.config.yaml_file import read_yaml
from dima.world_model.attention import KeyValueCache

pytestmark = [pytest.mark.slow, pytest.mark.remembered]

SMALL = {
    "world_model": {"dim": 32, "layers": 3, "heads": 2, "batch_size": 3},
    "behavior": {"horizon": 5, "rollouts": 7, "rollout_chunk": 4},
}


def small(**changes) -> Sizes:
    parameters = merge(read_yaml(CONFIG / "methods/marie.yaml")["parameters"], SMALL, changes)
    return Sizes(2, 5, 3, validate(MarieParameters, parameters, "test"))


def kept_by_blocks(sizes: Sizes) -> int:
    """Bytes of all tensors, weights left out, that a forward pass of the layers saves for the backward
    pass."""
    blocks = sizes.world_model("reference").train().blocks
    weights = {weight.untyped_storage().data_ptr() for weight in blocks.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = torch.randn(sizes.rows, sizes.tokens, sizes.parameters.world_model.dim, requires_grad=True)
    allowed = torch.ones(sizes.rows, sizes.tokens, sizes.tokens, dtype=torch.bool).tril()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        for block in blocks:
            tokens = block(tokens, allowed)
    return sum(size for storage, size in kept.items() if storage not in weights)


@pytest.mark.parametrize(
    "horizon", [5, 7, 9]
)  # of fewer than 17 keys a CPU keeps what products of matrices need
def test_the_formula_is_what_the_layers_keep(horizon):
    sizes = small(behavior={"horizon": horizon})
    assert marie_memory.kept_by_layers(sizes) == pytest.approx(kept_by_blocks(sizes), rel=0.01)


def test_the_peak_is_that_of_tensors_with_content(monkeypatch):
    """The tracker measures the same in a step that is computed."""
    from contextlib import nullcontext

    sizes = small()
    without = marie_memory.training_peak(sizes, "reference")
    monkeypatch.setattr(marie_memory, "FakeTensorMode", nullcontext)
    assert marie_memory.training_peak(sizes, "reference") == without
    assert without > marie_memory.kept_by_layers(sizes)


def test_checkpointing_lowers_the_peak():
    sizes = small(world_model={"layers": 8})
    plain, saving = (
        marie_memory.training_peak(marie_memory.with_checkpointing(sizes, on), "reference")
        for on in (False, True)
    )
    assert saving < plain / 2


def test_keys_and_values_are_those_of_the_caches(monkeypatch):
    """Of one chunk, in all layers."""
    sizes, found = small(), []
    extend = KeyValueCache.extend

    def measured(self, key, value):
        new = self._kept is None
        result = extend(self, key, value)
        found.extend(part.untyped_storage().nbytes() for part in self._kept if new)
        return result

    monkeypatch.setattr(KeyValueCache, "extend", measured)
    with torch.no_grad():
        unrolling = sizes.world_model("reference").eval().unroll()
        unrolling.step(torch.zeros(4, 2, 16, dtype=torch.long), torch.zeros(4, 2, 3), torch.rand(4, 2, 16))
    assert sum(found) == marie_memory.keys_and_values(sizes, "reference")
    assert marie_memory.keys_and_values(sizes, "fast") == sum(found) / 2


def test_the_hands_fit_a_card_of_24_gigabytes_and_would_not_without_checkpointing():
    """Pen: two agents, 211 + 7 observed numbers, 26 actions; the numbers of the paper's grid."""
    from dima.config.grid import CellKey, load_grid

    sizes = Sizes(2, 218, 26, load_grid("paper", CONFIG).resolve(CellKey("pen", "marie", 1)).parameters)
    assert (sizes.rows, sizes.tokens) == (80, 645)
    fixed = marie_memory.weights_and_moments(sizes) + marie_memory.replay_bytes(sizes)
    assert (
        fixed + max(marie_memory.training_peak(sizes, "fast"), marie_memory.keys_and_values(sizes, "fast"))
        < 12e9
    )
    without = marie_memory.with_checkpointing(sizes, False)
    assert marie_memory.kept_by_layers(without) > 24e9
    assert marie_memory.training_peak(without, "reference") > marie_memory.kept_by_layers(without)


def test_the_command_prints_a_row_for_every_task(monkeypatch, capsys):
    monkeypatch.setattr(marie_memory, "of_task", lambda task: small())
    marie_memory.main(["first", "second"])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["first", "second"]
    assert {row.count("|") for row in rows} == {head.count("|")}
