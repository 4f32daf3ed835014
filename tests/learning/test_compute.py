"""The presets of computing: what they set, what they say, and how far bfloat16 is from float32."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch

from dima.config.grid import CellKey, load_grid, merge, validate
from dima.learning import compute
from dima.learning.compute import describe, why_not_compiled, why_not_fused
from dima.learning.dima_learner import DimaLearner

CPU, GPU = torch.device("cpu"), torch.device("cuda")

SETTINGS = """
import torch
from dima.learning.compute import prepare_process
prepare_process("{preset}", torch.device("cuda"))
cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
print(torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(), cudnn.deterministic,
      cudnn.benchmark, cudnn.allow_tf32, cuda.flash_sdp_enabled())
"""


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("reference", "True highest True False False False"), ("fast", "False high False True True True")],
)
def test_what_a_preset_sets(preset, expected):
    script = SETTINGS.format(preset=preset)
    assert (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.strip()
        == expected
    )


PAGES = """
import resource, torch
from dima.learning.compute import keep_freed_memory
if {kept}:
    assert keep_freed_memory()
torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(compute.ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_kept_memory_costs_no_new_pages():
    """20 tensors of 80 MB, by default returned to the system each time: 19,531 pages of 4 KiB, or 39 of 2
    MiB. A few are new at first."""
    faults = {
        kept: int(
            subprocess.run(
                [sys.executable, "-c", PAGES.format(kept=kept)], capture_output=True, text=True, check=True
            ).stdout
        )
        for kept in (True, False)
    }
    assert faults[False] >= 20 * 39
    assert faults[True] < 0.5 * faults[False]


def test_the_preset_is_described():
    said = describe("reference", CPU, graphs=False)
    assert said == (
        "Preset reference on cpu: float32, the same bits every time on this device; "
        "not compiled (the preset reference runs every operator by itself); no CUDA graphs (the device is a "
        "CPU)."
    )


def test_a_gpu_without_bfloat16_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(compute, "why_not_compiled", lambda preset, device: None)
    said = describe("fast", GPU, graphs=True)
    assert said == (
        "Preset fast on Tesla T4: bfloat16 where it is safe, which this GPU emulates slowly, TF32 or "
        "float32 elsewhere, "
        "not the same bits every time; compiled; CUDA graphs."
    )


def test_the_fast_preset_says_what_it_gives_up(monkeypatch):
    monkeypatch.setattr(compute, "has_bfloat16", lambda device: False)
    said = describe("fast", CPU, graphs=False)
    assert "which this processor emulates slowly" in said
    assert "not the same bits every time" in said
    assert "not compiled (on a CPU it makes the largest parts slower)" in said


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("triton", "triton is not installed"), ("compiler", "there is no C compiler, which triton needs")],
)
def test_why_nothing_is_compiled_on_a_gpu(monkeypatch, missing, reason):
    monkeypatch.setitem(sys.modules, "triton", None if missing == "triton" else sys)
    monkeypatch.setattr(compute.shutil, "which", lambda name: None)
    assert why_not_compiled("fast", GPU) == reason
    monkeypatch.setitem(sys.modules, "triton", sys)
    monkeypatch.setattr(compute.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert why_not_compiled("fast", GPU) is None


@pytest.fixture
def card(monkeypatch):
    """A GPU with all that compiling for it takes."""
    monkeypatch.setattr(compute.torch.cuda, "get_device_name", lambda device: "Card")
    monkeypatch.setitem(sys.modules, "triton", sys)
    monkeypatch.setattr(compute.shutil, "which", lambda name: f"/usr/bin/{name}")
    return GPU


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "it has not been measured on Card"),
        ({"channels": (64, 32, 64)}, "the kernel is for 64 channels at every level, not for 64, 32, 64"),
        ({"conditioning_states": 7}, "the kernel is for 3 conditioning states, not for 7"),
        ({"dynamics": "deterministic"}, "the dynamics are deterministic"),
    ],
)
def test_why_the_unet_is_not_one_kernel_on_a_gpu(paper, card, changes, reason):
    assert why_not_fused(paper.parameters.denoiser.model_copy(update=changes), card, "fast") == reason


def test_the_unet_is_one_kernel_on_a_card_where_it_was_measured_and_with_the_preset_fast_alone(
    paper, card, monkeypatch
):
    monkeypatch.setattr(compute, "FUSED_ON", {"Card"})
    monkeypatch.setattr(compute, "has_bfloat16", lambda device: True)
    config = paper.parameters.denoiser
    assert why_not_fused(config, card, "fast") is None
    assert why_not_fused(config, CPU, "fast") == "the kernel is for a GPU"
    assert why_not_fused(config, card, "reference") == "the preset reference runs every operator by itself"
    assert describe("fast", card, graphs=True, denoiser=config).endswith(
        "elsewhere, not the same bits every time; compiled; the U-Net as one kernel; CUDA graphs."
    )
    monkeypatch.setitem(sys.modules, "triton", None)
    assert why_not_fused(config, card, "fast") == "triton is not installed"


def test_the_cells_line_says_why_the_unet_is_not_one_kernel(paper):
    said = describe("fast", CPU, graphs=False, denoiser=paper.parameters.denoiser)
    assert "; the U-Net layer by layer (the kernel is for a GPU); no CUDA graphs" in said


def changed(cell, **parameters):
    return validate(type(cell), merge(cell.model_dump(mode="json"), {"parameters": parameters}), "test")


@pytest.mark.parametrize("part", ["state_decoder", "denoiser", "reward_model", "behavior"])
def test_the_fast_preset_learns_nearly_the_same(tiny_cell, part):
    """From the same weights and data: bfloat16 has 8 bits, so that a loss may be off by a percent or so, but
    by something."""
    reports = []
    for preset in ("reference", "fast"):
        learner = DimaLearner(changed(tiny_cell, compute=preset), CPU)
        learner._collect()
        torch.manual_seed(0)
        for (
            weight
        ) in learner.world_model.parameters():  # layers that start at zero would hide what came before them
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.1)
        update = learner._update_policy if part == "behavior" else getattr(learner, f"_update_{part}")
        reports.append(update())
    torch.testing.assert_close(reports[1], reports[0], rtol=0.05, atol=0.02)
    assert torch.equal(*reports) == (part == "state_decoder")


def test_the_fast_preset_keeps_weights_and_states_in_float32(tiny_cell):
    learner = DimaLearner(changed(tiny_cell, compute="fast"), CPU)
    for _ in range(2):
        learner.run_epoch()
    weights = [*learner.world_model.parameters(), *learner.actor_critic.actor.parameters()]
    assert {weight.dtype for weight in weights} == {torch.float32}
    starts = learner.replay.sample_windows(4, 3, torch.Generator())
    order, noise = torch.Generator(), torch.Generator()
    state = learner.world_model.step(learner.world_model.scale(starts.state), starts.action, order, noise)
    assert state.dtype == torch.float32


def test_the_grid_of_presets_differs_from_the_quick_one_in_the_arithmetic_alone():
    grid, quick = load_grid("presets"), load_grid("quick")
    for seed in (1, 2):
        reference, other = (
            grid.resolve(CellKey("push-mass", method, seed)) for method in ("dima", "dima-fast")
        )
        expected = quick.resolve(CellKey("push-mass", "dima", seed)).parameters
        assert reference.parameters == expected
        assert other.parameters == expected.model_copy(update={"compute": "fast"})
    assert len({key.seed for key in grid.cells}) >= 8


COMPILED = """
import torch
from dima.config.grid import CellKey, load_grid
from dima.learning.dima_learner import DimaLearner

torch.set_num_threads(1)
cell = load_grid("tiny").resolve(CellKey("push-mass", "{method}", 1))
learners = [DimaLearner(cell, torch.device("cpu")) for _ in range(2)]
learners[1].world_model.compile_parts()
for learner in learners:
    torch.manual_seed(0)
    learner._collect()
    updates = (learner._update_denoiser, learner._update_reward_model, learner._update_policy)
    learner.found = torch.cat([update() for update in updates])
torch.testing.assert_close(*(learner.found for learner in learners), rtol={tolerance}, atol={tolerance})
print(len(torch._dynamo.utils.compile_times("csv")[0]), torch._dynamo.utils.counters["graph_break"])
"""


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.timeout(900)
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="there is no C++ compiler")
@pytest.mark.parametrize(("method", "tolerance"), [("dima", 1e-4), ("dima-fast", 0.02)])
def test_compiled_parts_compute_the_same(workplace, method, tolerance):
    """On a CPU, where it is off by default: the same code is compiled for a GPU. It is not compiled in
    pieces."""
    (workplace / "workflow/config/tiny.yaml").write_text(
        (workplace / "workflow/config/tiny.yaml").read_text().replace("dima-joint", "dima-fast"),
        encoding="utf-8",
    )
    script = COMPILED.format(method=method, tolerance=tolerance)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    compiled, breaks = found.stdout.split(maxsplit=1)
    assert int(compiled) > 0
    assert breaks.strip() in ("Counter()", "{}")
