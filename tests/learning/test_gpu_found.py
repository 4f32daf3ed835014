"""Why no GPU is used, in one sentence; a GPU and its driver are stand-ins."""

from __future__ import annotations

import warnings

import pytest
import torch

from dima.cell import process
from dima.errors import UserError
from dima.experience.replay import Replay
from dima.learning.gpu import needed_memory, require_memory, why_no_gpu

OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new"
TOO_OLD = (
    f"torch {torch.__version__} needs a driver for CUDA 13.0, and this machine's is for CUDA 11.4: "
    "update it, or install a torch built for CUDA 11.4 or older"
)


def fails(message):
    def init():
        raise RuntimeError(message)

    return init


@pytest.fixture
def driver(monkeypatch):
    """A torch built for CUDA 13.0 whose driver says something else than that it is there."""

    def says(message):
        def available():
            warnings.warn(f"CUDA initialization: {message}", stacklevel=2)
            return False

        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", available)
        monkeypatch.setattr(torch.cuda, "init", fails(message))

    return says


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("message", "reason"), [(OLD, TOO_OLD), ("No CUDA GPUs are available", "torch finds no GPU")]
)
def test_what_the_driver_says_becomes_a_reason(driver, message, reason):
    driver(message)
    assert why_no_gpu() == reason


def test_a_torch_without_cuda_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert why_no_gpu() == f"torch finds no GPU ({torch.__version__} is built without CUDA)"


def test_a_gpu_that_is_there_needs_no_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_no_gpu() is None


def test_a_driver_that_is_too_old_is_refused_or_said(driver, monkeypatch, tmp_path, capsys):
    """A GPU that was asked for is refused; where any device will do, a line says why this machine's GPU is
    not used."""
    driver(OLD)
    with pytest.raises(UserError, match="CUDA 11.4"):
        process.find_device("cuda")
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr("dima.cell.process.GPU", tmp_path / "nvidiactl")
    assert process.find_device("auto") == torch.device("cpu")
    assert capsys.readouterr().out == f"This machine's GPU is not used: {TOO_OLD}.\n"
    assert process.find_device("cpu") == torch.device("cpu")
    assert capsys.readouterr().out == ""


def test_a_cell_needs_what_was_measured(paper):
    """2.46 GB at the paper's sizes on HalfCheetah-2x3, 0.08 of them the replay memory: 250,000 rows of 34 +
    44 + 3 numbers and two ends."""
    parameters, shapes = paper.parameters, (17, 2, 19, 3)
    assert needed_memory(parameters, shapes) == pytest.approx(2.46e9, rel=0.03)
    larger = parameters.model_copy(
        update={"replay": parameters.replay.model_copy(update={"capacity": 500_000})}
    )
    assert needed_memory(larger, shapes) - needed_memory(parameters, shapes) == 250_000 * (
        4 * (34 + 44 + 3) + 2
    )
    memory = Replay(parameters.replay.model_copy(update={"capacity": 10}), shapes, torch.device("cpu"))
    rows = (*memory._data.values(), *memory._visits.values())
    assert sum(values.nbytes for values in rows) == 10 * (4 * (34 + 44 + 3) + 2)


def test_too_little_memory_is_said_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(1.94e9), int(8e9)))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Quadro P4000")
    require_memory(1.9e9, torch.device("cuda"))
    with pytest.raises(UserError) as caught:
        require_memory(2.46e9, torch.device("cuda"))
    assert str(caught.value) == (
        "This cell needs about 2.5 GB on the GPU, and 1.9 of the 8.0 GB of Quadro P4000 are free: take another GPU, or --device cpu."
    )
