"""The fused network's kernels against the plain network, forward and backward, in Triton's interpreter on a
CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from benchmarks.fused_compiled import compiled_kernels
from dima.world_model.denoiser import Denoiser
from dima.world_model.fused.layout import Layout
from dima.world_model.fused.network import FusedNetwork

pytestmark = [
    pytest.mark.slow,
    pytest.mark.remembered,
    pytest.mark.skipif(
        find_spec("triton") is None, reason="Triton is not installed; CONTRIBUTING.md says how"
    ),
]

INTERPRETED = """
import json, sys
import torch

from dima.config.grid import CellKey, load_grid
from dima.world_model.denoiser import Denoiser
from dima.world_model.fused.layout import Layout
from dima.world_model.fused.network import FusedNetwork, Launch

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)  # uninitialised memory holds NaN, which must reach no result
config = load_grid("paper").resolve(CellKey("halfcheetah-2x3", "dima", 1)).parameters.denoiser
relative = lambda found, wanted: ((found - wanted).norm() / wanted.norm()).item()


def errors(state_dim, blocks, rows, tile, terms, stages, weights="float32", gradients=False):
    torch.manual_seed(0)
    denoiser = Denoiser(state_dim, 2, 3, config.model_copy(update={"blocks": tuple(blocks)}))
    for parameter in denoiser.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    launch = Launch(rows=tile, terms=terms, stages=stages, precision="ieee", weights=getattr(torch, weights))
    fused = FusedNetwork(Layout(denoiser.read, denoiser.unet, denoiser.write_norm, denoiser.write), launch)
    modulation = torch.randn(rows, fused.layout.modulated + 64)[:, :-64]  # not contiguous, as in training
    inputs = [torch.randn(rows, state_dim), torch.randn(rows, 3, state_dim), modulation]
    if not gradients:
        with torch.no_grad():
            return {"output": relative(fused.prepared()(*inputs), denoiser.network(*inputs))}
    for tensor in inputs:
        tensor.requires_grad_()
    outputs = [fused.prepared()(*inputs), denoiser.network(*inputs)]
    weight = torch.randn(rows, state_dim)
    names = {id(parameter): name for name, parameter in denoiser.named_parameters()}
    learned = fused.layout.parameters
    gradients = (torch.autograd.grad((output * weight).sum(), [*inputs, *learned]) for output in outputs)
    taken = [outputs, *zip(*gradients)]
    named = ["output", "noisy", "history", "modulation", *(names[id(parameter)] for parameter in learned)]
    return {name: relative(*pair) for name, pair in zip(named, taken, strict=True)}


print(json.dumps([errors(**case) for case in json.loads(sys.argv[1])]))
"""

FORWARD = [
    {"state_dim": 17, "blocks": [2, 2, 2], "rows": 17, "tile": 16, "terms": 4, "stages": 1},
    {"state_dim": 111, "blocks": [1, 1, 1], "rows": 5, "tile": 4, "terms": 2, "stages": 2},
    {"state_dim": 417, "blocks": [1, 1, 1], "rows": 9, "tile": 8, "terms": 1, "stages": 2},
    {
        "state_dim": 17,
        "blocks": [1, 1, 1],
        "rows": 3,
        "tile": 4,
        "terms": 4,
        "stages": 2,
        "weights": "float16",
    },
]
"""Rows that fill no whole number of tiles, states that fill no whole number of blocks, every number of
products at once."""
BACKWARD = {
    "state_dim": 33,
    "blocks": [2, 2, 2],
    "rows": 5,
    "tile": 4,
    "terms": 2,
    "stages": 2,
    "gradients": True,
}
"""Two tiles, the second nearly empty; two blocks of state dimensions."""


def interpreted(*cases: dict[str, Any]) -> list[dict[str, float]]:
    """Relative errors of the output and of gradients by name, for each case."""
    command = [sys.executable, "-c", INTERPRETED, json.dumps(cases)]
    environ = os.environ | {"TRITON_INTERPRET": "1"}
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


def test_the_kernel_is_the_network() -> None:
    found = [case["output"] for case in interpreted(*FORWARD)]
    assert all(0 < error < 1e-5 for error in found[:-1]), found
    assert 1e-5 < found[-1] < 2e-3  # of float16


def test_gradients_of_weights_modulation_and_states() -> None:
    (found,) = interpreted(BACKWARD)
    assert len(found) == 4 + 100
    assert all(error < 1e-4 for error in found.values()), found


def test_the_kernels_compile_for_an_h100(paper, tmp_path, monkeypatch) -> None:
    """They fit into registers, multiply with tensor cores, copy ahead of products, and read nothing past the
    cache that warps share."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    denoiser = Denoiser(17, 2, 3, paper.parameters.denoiser)
    found = compiled_kernels(
        FusedNetwork(Layout(denoiser.read, denoiser.unet, denoiser.write_norm, denoiser.write))
    )
    assert list(found) == ["forward", "forward, kept", "backward", "weights"]
    for kernel in found.values():
        assert kernel["spilled_bytes"] == 0
        assert kernel["shared_bytes"] <= 113 * 1024  # two programs on a multiprocessor
        assert kernel["matrix_instructions"] > 0
        assert kernel["copies_ahead"] > 0
        assert kernel["incoherent_loads"] == 0
        assert kernel["barriers"] > 0
