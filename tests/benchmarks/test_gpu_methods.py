"""`python -m benchmarks.gpu --method` and `--profile` at toy sizes on a CPU: every method."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
import yaml

from benchmarks import gpu
from benchmarks.gpu_pace import host_waits, pace, pace_line, speed_row
from benchmarks.gpu_profile import (
    Attention,
    Kernel,
    attention_calls,
    busy,
    covered,
    few_updates,
    is_kernel,
    profile_text,
    profiled,
    timed_attention,
)
from benchmarks.method_cells import TOY, learning_at_once, measurable_methods, method_cell
from benchmarks.workload import CONFIG
from dima.campaign.speed import Speed
from dima.cell.methods import build_learner
from dima.config.grid import load_grid, merge, validate
from dima.config.method_files import method_summaries
from dima.config.registry import LEARNERS
from dima.errors import UserError

CPU = torch.device("cpu")


def test_every_method_but_those_of_checkouts_can_be_timed() -> None:
    methods = {method.name for method in method_summaries(CONFIG)}
    assert set(measurable_methods()) == {name for name in methods if not name.endswith("-checkout")}
    algorithms = [kind.model_fields["algorithm"].annotation for kind in LEARNERS if kind.engine != "checkout"]
    assert TOY.keys() == {name for algorithm in algorithms for name in get_args(algorithm)}
    with pytest.raises(
        UserError,
        match="Method marie-checkout is another checkout's program; the methods that can be timed are dima, ",
    ):
        method_cell("marie-checkout", "paper")


def test_at_the_papers_sizes_a_cell_is_that_of_the_papers_grid() -> None:
    paper = load_grid("paper", CONFIG)
    for key in {key[:2]: key for key in paper.cells}.values():
        assert method_cell(key.method, "paper", task=key.task).parameters == paper.resolve(key).parameters


@pytest.mark.parametrize("method", measurable_methods())
def test_toy_sizes_change_sizes_alone_and_then_every_part_learns_at_once(method: str) -> None:
    """So that a variant keeps what makes it differ, but for sizes and numbers of updates."""
    paper = method_cell(method, "paper", task="push-mass").parameters.model_dump(mode="json")
    toy = method_cell(method, "toy").parameters
    assert toy.model_dump(mode="json") == merge(paper, TOY[toy.algorithm])
    at_once = learning_at_once(method_cell(method, "toy")).parameters.model_dump(mode="json")
    firsts = {name: 1 for name in at_once.get("schedule", {}) if name.startswith("first_")}
    assert at_once == merge(toy.model_dump(mode="json"), {"schedule": firsts} if firsts else {})


def test_a_preset_can_be_chosen_where_a_method_has_presets() -> None:
    assert [method_cell("dima", "toy", compute=compute).compute for compute in (None, "fast")] == [
        "reference",
        "fast",
    ]
    with pytest.raises(UserError, match="Method mappo has no presets of computing"):
        method_cell("mappo", "toy", compute="fast")


@pytest.mark.parametrize(
    "method",
    [
        "mappo",
        "hasac",
        *(
            pytest.param(name, marks=[pytest.mark.slow, pytest.mark.remembered])
            for name in ("dima", "mamba", "marie")
        ),
    ],
)
def test_what_epochs_of_a_method_take(method: str) -> None:
    if method in ("mappo", "hasac"):
        pytest.importorskip("harl")
    config = learning_at_once(method_cell(method, "toy"))
    found = pace(config, CPU)
    steps = {"mappo": 40, "hasac": 10}.get(method, 50)
    assert found["epoch_steps"] == [steps] * 5
    assert len(found["epoch_seconds"]) == 5
    assert min(found["epoch_seconds"]) > 0
    own = method not in ("mappo", "hasac")
    assert own == (found["collecting_seconds"] is not None)
    if own:
        assert 0 < found["collecting_seconds"] < sum(found["epoch_seconds"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dima", "mamba"])
def test_the_host_never_waits_in_an_epochs_updates(method: str) -> None:
    learner = build_learner(learning_at_once(method_cell(method, "toy")), CPU)
    learner.run_epoch()
    assert host_waits(learner, CPU) == 0
    learner.close()


FOUND = {
    "method": "dima-fast", "task": "pen", "compute": "fast",
    "device": "A Card", "torch": "2.13.0", "cuda": "13.0",
    "first_epoch_seconds": 40.0, "epoch_seconds": [2.0, 3.0], "epoch_steps": [500, 500],
    "collecting_seconds": 0.5, "host_waits": 1, "peak_bytes": {"held": 3.26e9},
}  # fmt: skip


def test_the_row_of_a_method_is_one_of_the_table() -> None:
    (row,) = yaml.safe_load(speed_row(FOUND))
    speed = validate(Speed, row, "test")
    assert (speed.epoch_seconds, speed.thousand_steps_seconds, speed.gigabytes) == (2.25, 0.5, 3.3)
    assert (speed.task, speed.method, speed.compute, speed.device, speed.hardware) == (
        "pen",
        "dima-fast",
        "fast",
        "GPU",
        "A Card",
    )
    assert speed.source.startswith("python -m benchmarks.gpu --method dima-fast, commit ")
    (row,) = yaml.safe_load(speed_row(FOUND | {"collecting_seconds": None, "device": "CPU"}))
    assert (row["epoch_seconds"], row["thousand_steps_seconds"], row["gigabytes"], row["device"]) == (
        2.5,
        None,
        None,
        "CPU",
    )
    assert pace_line("dima-fast", FOUND) == (
        "dima-fast: pen, preset fast; an epoch 2.500 (2.000 to 3.000) s of 500 environment steps; "
        "1,000 steps 5.000 s, 0.500 of them without learning; first epoch 40.0 s; "
        "host waits 1 times an epoch; 3.26 GB"
    )
    assert "; host waits at most 1 times an epoch; " in pace_line("dima-fast", FOUND | {"device": "CPU"})


@pytest.mark.slow
@pytest.mark.remembered
def test_methods_at_toy_size_by_the_command(tmp_path, capsys) -> None:
    pytest.importorskip("harl")
    methods = ["dima-vq", "marie", "happo"]
    assert (
        gpu.main(
            [
                "--device",
                "cpu",
                "--sizes",
                "toy",
                "--method",
                *methods,
                "--json",
                str(tmp_path / "found.json"),
            ]
        )
        == 0
    )
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert list(written["measurements"]) == methods
    assert all(len(found["epoch_seconds"]) == 5 for found in written["measurements"].values())
    assert "For workflow/reference/speed.yaml" not in capsys.readouterr().out, "toy sizes have no rows"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "dima-swfit", "--device", "cpu"], "Unknown method 'dima-swfit'"),
        (["--method", "dima", "--task", "pan", "--device", "cpu"], "Unknown task 'pan', perhaps 'pen'"),
        (["--method", "happo-checkout", "--device", "cpu"], "another checkout's program"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], said: str, capsys) -> None:
    assert gpu.main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_task_without_a_method_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--task", "pen", "--device", "cpu"])
    assert "--task and --compute go with --method or --profile" in capsys.readouterr().err


def test_time_in_kernels_and_time_in_which_one_runs() -> None:
    """On two streams: [0, 4] and [1, 2] and [3, 6], then [8, 9]."""
    kernels = [Kernel("a", 0, 4, 1), Kernel("b", 1, 2, 2), Kernel("c", 3, 6, 2), Kernel("a", 8, 9, 1)]
    assert (busy(kernels), covered(kernels)) == (9, 7)
    assert (busy([]), covered([])) == (0, 0)


def test_what_counts_as_a_kernel() -> None:
    cuda, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU

    def event(device, name="aten::mm", caller=None, annotation=False):
        return SimpleNamespace(
            device_type=device, name=name, cpu_parent=caller, is_user_annotation=annotation
        )

    assert [
        is_kernel(event(cuda), True),
        is_kernel(event(cpu), True),
        is_kernel(event(cuda, annotation=True), True),
    ] == [True, False, False]
    linear, backward = event(cpu, "aten::linear"), event(cpu, "MmBackward0")
    events = [
        event(cpu),
        event(cpu, caller=backward),
        backward,
        event(cpu, caller=linear),
        event(cpu, "aten::t", event(cpu, "x", linear)),
    ]
    assert [is_kernel(one, False) for one in events] == [True, True, False, False, False]


def test_attention_is_counted_by_what_decides_its_cost() -> None:
    query, key = torch.ones(2, 1, 3, 4, requires_grad=True), torch.ones(2, 1, 5, 4)
    with attention_calls() as calls:
        F.scaled_dot_product_attention(query, key, key)
        F.scaled_dot_product_attention(query, key, key, dropout_p=0.0)
        F.scaled_dot_product_attention(query.detach(), key, key, torch.ones(3, 5, dtype=torch.bool))
        with torch.no_grad():
            F.scaled_dot_product_attention(query, query, query, is_causal=True)
    F.scaled_dot_product_attention(query, key, key)  # not counted any more
    plain = Attention((2, 1, 3, 4), (2, 1, 5, 4), torch.float32, None, 0.0, False, True)
    assert calls == Counter(
        {
            plain: 2,
            plain._replace(mask=(3, 5), gradients=False): 1,
            plain._replace(key=plain.query, causal=True, gradients=False): 1,
        }
    )
    found = timed_attention("a part", plain._replace(mask=(3, 5)), 2, CPU)
    assert (found["part"], found["calls"], found["mask"], found["gradients"]) == ("a part", 2, True, True)
    assert found["milliseconds"] > 0


def test_an_epoch_that_is_looked_at_has_few_updates() -> None:
    few = few_updates(method_cell("dima", "paper")).parameters.model_dump()
    assert [few[part]["updates_per_epoch"] for part in ("state_decoder", "denoiser", "reward_model")] == [
        20,
        20,
        20,
    ]
    assert few["behavior"]["policy_updates_per_epoch"] == 2
    assert few_updates(method_cell("mappo", "paper")).parameters == method_cell("mappo", "paper").parameters


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("method", ["dima", "mamba"])
def test_a_profile_on_a_cpu(method: str) -> None:
    found = profiled(few_updates(learning_at_once(method_cell(method, "toy"))), CPU)
    parts = {
        "dima": ["state_decoder", "denoiser", "reward_model", "behavior"],
        "mamba": ["model", "behavior"],
    }[method]
    assert list(found["parts"]) == parts
    for one in found["parts"].values():
        assert one["kernels"] > 10
        assert 0 < one["busy_ms"] < one["wall_ms"]
        assert sum(kernel["ms"] for kernel in one["largest"]) <= one["busy_ms"] * 1.001
    # of DIMA's few keys only imagination's are attended to by torch's function on a CPU
    assert (
        {call["part"] for call in found["attention"]} >= {"model", "behavior"}
        if method == "mamba"
        else {"behavior"}
    )
    epoch = found["epoch"]
    assert epoch["covered_ms"] == pytest.approx(epoch["busy_ms"], rel=0.02), (
        "on a CPU one operator runs at a time"
    )
    text = profile_text(method, {"task": "push-mass", "compute": "reference", **found})
    assert f"\n{parts[0]}: " in text
    assert "1.00 at a time" in text


def test_harls_methods_have_no_profile() -> None:
    pytest.importorskip("harl")
    with pytest.raises(UserError, match="Method mappo learns in HARL's code"):
        profiled(method_cell("mappo", "toy"), CPU)
