"""Where compiled kernels are kept, and that a compiler that fails costs speed alone."""

from __future__ import annotations

import os

import pytest
import torch

from dima.learning import compiled, compute
from dima.learning.compiled import keep_kernels, kernels_of, uncompiled_where_that_fails

CPU, GPU = torch.device("cpu"), torch.device("cuda")
VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


@pytest.fixture(autouse=True)
def _a_gpu_that_is_compiled_for(monkeypatch):
    why = compute.why_not_compiled
    monkeypatch.setattr(
        compiled, "why_not_compiled", lambda preset, device: why(preset, device) if device == CPU else None
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_kernels_are_kept_beside_the_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keep_kernels(compiled.Path("results"), "fast", GPU)
    place = tmp_path / "results/.compiled" / kernels_of(GPU)
    assert [os.environ[name] for name in VARIABLES] == [str(place / "inductor"), str(place / "triton")]


def test_where_the_environment_says_so_they_are_kept_there(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/a/folder/of/mine")
    keep_kernels(tmp_path, "fast", GPU)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/a/folder/of/mine"
    assert os.environ["TRITON_CACHE_DIR"].startswith(str(tmp_path))


def test_kernels_of_another_user_are_not_run(tmp_path, monkeypatch):
    (tmp_path / ".compiled").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path / ".compiled").stat().st_uid + 1)
    keep_kernels(tmp_path, "fast", GPU)
    assert not set(VARIABLES) & os.environ.keys()


@pytest.mark.parametrize(("preset", "device"), [("reference", CPU), ("fast", CPU)])
def test_nothing_is_said_where_nothing_is_compiled(tmp_path, preset, device):
    keep_kernels(tmp_path, preset, device)
    assert not set(VARIABLES) & os.environ.keys()


@pytest.mark.parametrize("other", ["torch", "GPU", "code"])
def test_kernels_of_another_torch_or_gpu_or_world_model_are_never_found(tmp_path, monkeypatch, other):
    (tmp_path / "unet.py").write_text("width = 1")
    monkeypatch.setattr(compiled, "CODE", tmp_path)
    before = kernels_of(GPU)
    assert kernels_of(GPU) == before
    if other == "torch":
        monkeypatch.setattr(torch, "__version__", "2.99.0+cu140")
    elif other == "GPU":
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-40GB")
    else:
        (tmp_path / "unet.py").write_text("width = 2")
    assert kernels_of(GPU) != before


def test_the_name_of_the_folder_is_one():
    assert kernels_of(GPU).startswith(f"torch-{torch.__version__}-NVIDIA-H100-80GB-HBM3-")


class Doubling(torch.nn.Module):
    def forward(self, values):
        return 2 * values


def test_where_compiling_fails_one_line_says_so_and_the_same_is_computed(capsys):
    def fails(graph, inputs):
        raise RuntimeError("there is no assembler\nand more")

    doubling = Doubling()
    doubling.compile(backend=fails)
    try:
        for _ in range(2):
            assert uncompiled_where_that_fails(lambda: doubling(torch.ones(2))).tolist() == [2.0, 2.0]
    finally:
        torch.compiler.set_stance("default")
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "Not compiled, so training is slower: there is no assembler"


def test_other_errors_are_raised():
    with pytest.raises(ZeroDivisionError):
        uncompiled_where_that_fails(lambda: 1 / 0)
