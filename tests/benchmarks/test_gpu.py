"""`python -m benchmarks.gpu` at toy size on a CPU: everything is measured, what fails or finds no time is
said, verdicts follow numbers."""

from __future__ import annotations

import json
import math
import warnings
from contextlib import closing, nullcontext

import pytest
import torch

from benchmarks import gpu, gpu_processes
from benchmarks.gpu import cell_steps, main
from benchmarks.gpu_cell import whole_cell
from benchmarks.gpu_learner import STAGES, cell, epochs, fill, waits_of_the_host
from benchmarks.gpu_processes import Bench, FailedError, NoTimeError, NotMeasuredError, mps
from benchmarks.gpu_targets import (
    AGAIN,
    BEST,
    CELL,
    FAST_EAGER,
    FIRST,
    GRAPHS,
    PEN,
    PLAIN,
    SERVED,
    TOGETHER,
    WARM,
    row_line,
    verdicts,
)
from benchmarks.method_cells import TASKS
from dima.config import DimaParameters
from dima.learning.dima_learner import DimaLearner

pytestmark = [pytest.mark.slow, pytest.mark.remembered]

CPU = torch.device("cpu")
PARTS = ["state_decoder", "denoiser", "reward_model", "behavior"]


def made(epoch=1.0, losses=1.0, weights="a", waits=0, not_recorded=(), first=1.0):
    """What a timed path finds."""
    return {
        **{"path": "A path.", "device": "a GPU", "torch": "2", "cuda": "13"},
        "set_up_seconds": 1.0,
        "first_epoch_seconds": first,
        "warm_up_seconds": first + epoch,
        "epoch_seconds": [epoch] * 5,
        "stage_seconds": {stage: [epoch / 2] * 5 for stage in STAGES},
        "peak_bytes": {"held": 3e9},
        "losses": {"denoiser": [[1.0], [losses]]},
        "weights": weights,
        "host_synchronisations": {"updates": waits, "epoch": 1},
        "not_recorded": list(not_recorded),
        "remarks": [],
    }


def all_made():
    return {
        FIRST: made(),
        BEST: made(0.5, losses=1.1, first=45.0),
        CELL: {
            "path": "A path.",
            "env_steps": 15_000,
            "waiting_for_evaluation_seconds": 0.0,
            "steady_env_steps": 10_000,
            "seconds": {"until_warm": 50.0, "steady": 6.0, "after": 10.0},
            "remaining_env_steps_of_the_whole": 990_000,
            "remarks": [],
        },
        PLAIN: made(6.0),
        TOGETHER: {"mps": False, "epoch_seconds": [[0.9] * 5, [1.0] * 5], "remarks": []},
        SERVED: {"mps": True, "epoch_seconds": [[0.7] * 5, [0.8] * 5], "remarks": []},
        GRAPHS: made(2.0, weights="b"),
        AGAIN: made(weights="b"),
        WARM: made(first=10.0),
        PEN: made(1.2),
        FAST_EAGER: made(4.0),
    }


def test_numbers_of_the_targets():
    rows = verdicts(all_made(), comparable=True)
    assert [(pytest.approx(row["value"]), row["met"]) for row in rows] == [
        (0.5, True),
        ((50 + 0.0006 * 990_000 + 10) / 60, True),  # 10.9
        (12.0, True),
        (2.0, True),
        (1.6, True),
        (3.0, True),
        (3.0, True),
        (45.0, True),
        (10.0, True),
        (1.2, True),
        (0, True),
        (0, True),
        (0, True),
        (0, True),
        (1, None),
        (0, None),
        (0.1 / math.sqrt(2), None),
        (1.5, None),
        (3.0, None),
    ]
    assert (
        row_line(rows[0])
        == "seconds of an epoch's learning, fast with graphs | 0.5 | at most 0.5 (must: 0.8) | yes"
    )
    assert row_line(rows[2]) == "plain eager epoch (reference) over the first | 12 | at least 12 | yes"


def test_what_is_missed():
    found = all_made()
    found[BEST] = made(0.9, waits=2, not_recorded=["behavior"], first=46.0) | {"peak_bytes": {"held": 4.1e9}}
    found[GRAPHS] = made(weights="c", not_recorded=["denoiser"]) | {"peak_bytes": {"held": 5e9}}
    found[WARM], found[PEN] = made(first=11.0), made(1.3)
    found[CELL]["seconds"]["steady"] = 10.0
    for together in (TOGETHER, SERVED):
        found[together]["epoch_seconds"][0] = [2.0] * 5
    rows = verdicts(found, comparable=True)
    assert [row["met"] for row in rows if row["bound"] is not None] == [False] * 14
    assert row_line(rows[0]).endswith(" | 0.9 | at most 0.5 (must: 0.8) | no")


def test_what_meets_only_what_it_must():
    rows = verdicts(all_made() | {BEST: made(0.8)}, comparable=True)
    assert row_line(rows[0]).endswith(" | 0.8 | at most 0.5 (must: 0.8) | only what it must")
    assert (rows[0]["met"], rows[0]["must_met"]) == (False, True)


def test_elsewhere_only_what_does_not_depend_on_the_device_is_judged():
    judged = [row["what"] for row in verdicts(all_made(), comparable=False) if row["met"] is not None]
    assert judged == ["host synchronisations in updates", "reference with graphs, two runs: weights differ"]


def test_the_cell_has_as_many_epochs_as_fit_into_its_time():
    assert cell_steps("paper", made(0.9)) == cell_steps("paper", {"missing": "why"}) == 105_000
    assert cell_steps("paper", made(3.0)) == 35_000
    assert cell_steps("paper", made(60.0)) == 10_000
    assert cell_steps("toy", made(0.1)) == 400


class StandIn:
    """A bench whose measurements find what is given; an exception among them is raised."""

    def __init__(self, found):
        self._found = iter(found)

    def start(self, arguments, **named):
        return self

    def result(self):
        found = next(self._found)
        if isinstance(found, Exception):
            raise found
        return found

    def together(self, arguments, service):
        return self.result()


def test_one_that_fails_is_reported_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    found = all_made() | {
        PLAIN: FailedError("torch.OutOfMemoryError: CUDA out of memory"),
        FAST_EAGER: NoTimeError(),
    }
    found[SERVED] = NotMeasuredError("there is no nvidia-cuda-mps-control here")
    found[BEST]["remarks"] = ["Learning of behavior runs eagerly, not as a CUDA graph: why"]
    monkeypatch.setattr(gpu, "Bench", lambda *arguments: StandIn(found.values()))
    status = main(["--device", "cpu", "--sizes", "toy", "--json", str(tmp_path / "found.json")])
    assert status == 1
    printed = capsys.readouterr().out.splitlines()
    assert f"{PLAIN}: FAILED: torch.OutOfMemoryError: CUDA out of memory" in printed
    assert f"{FAST_EAGER}: not measured: no time left" in printed
    assert f"{SERVED}: not measured: there is no nvidia-cuda-mps-control here" in printed
    assert printed[1].endswith("; Learning of behavior runs eagerly, not as a CUDA graph: why")
    assert f"{TOGETHER}: without CUDA MPS; 5 epochs in 4.50 s; 5 epochs in 5.00 s" in printed
    reason = f"{PLAIN}: torch.OutOfMemoryError: CUDA out of memory"
    assert f"plain eager epoch (reference) over the first | {reason} | at least 12 | " in printed
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert written["measurements"][PLAIN]["failed"] == "torch.OutOfMemoryError: CUDA out of memory"
    assert written["measurements"][GRAPHS]["weights"] == "b"
    assert [row["reason"] for row in written["targets"]][:3] == [None, None, reason]


@pytest.mark.parametrize(("error", "status"), [(FailedError("no driver"), 1), (NoTimeError(), 0)])
def test_where_the_first_part_has_no_result_nothing_else_is_begun(monkeypatch, capsys, error, status):
    monkeypatch.setattr(gpu, "Bench", lambda *arguments: StandIn([error]))
    assert main(["--device", "cpu", "--sizes", "toy"]) == status
    printed = capsys.readouterr().out
    assert (
        printed.splitlines()[0]
        == f"{FIRST}: {'FAILED: no driver' if status else 'not measured: no time left'}"
    )
    reason = f"{BEST}: not measured: the first part has no result"
    assert f"seconds of an epoch's learning, fast with graphs | {reason} | " in printed


def test_no_time_left(tmp_path):
    assert (
        main(["--device", "cpu", "--sizes", "toy", "--minutes", "0", "--json", str(tmp_path / "found.json")])
        == 0
    )
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert list(written["measurements"]) == list(all_made())
    assert all(one["missing"].startswith("not measured: ") for one in written["measurements"].values())
    assert {row["value"] for row in written["targets"]} == {None}


def test_without_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    assert (
        capsys.readouterr().err
        == "There is no GPU here; --device cpu --sizes toy shows on a CPU that the command works.\n"
    )


def test_the_last_complaint_of_a_process_is_its_reason(tmp_path):
    child = Bench("cpu", "toy", 5, tmp_path).start(["--compute", "neither"])
    with pytest.raises(FailedError, match="invalid choice: 'neither'"):
        child.wait_until_ready()


@pytest.mark.parametrize(
    ("minutes", "error", "said"), [(5, FailedError, "longer than 0 s"), (0.004, NoTimeError, "no time left")]
)
def test_a_process_is_ended_when_its_time_is_over(tmp_path, monkeypatch, minutes, error, said):
    monkeypatch.setattr(gpu_processes, "LONGEST", 0.3)
    child = Bench("cpu", "toy", minutes, tmp_path).start(["--compute", "fast", "--waits"])
    with pytest.raises(error, match=said):
        child.result()
    child.go()
    assert child._process.poll() == -9


@pytest.mark.parametrize("works", [True, False])
def test_a_service_of_our_own_is_used_where_it_works_and_ended(tmp_path, monkeypatch, works):
    commands = []

    def succeeds(command, environment, given=""):
        commands.append((command[0], given))
        assert environment["CUDA_MPS_PIPE_DIRECTORY"] == str(tmp_path / "pipe")
        return works or len(commands) == 1

    monkeypatch.setattr(gpu_processes.shutil, "which", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_processes, "_succeeds", succeeds)
    with (
        nullcontext() if works else pytest.raises(NotMeasuredError, match="does not start a service"),
        mps(tmp_path) as variables,
    ):
        assert variables.keys() == {"CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"}
        assert len(commands) == 2
    assert commands[-1] == ("nvidia-cuda-mps-control", "quit\n")


@pytest.mark.parametrize(
    ("gpu_there", "said"), [(False, "there is no GPU"), (True, "there is no nvidia-cuda-mps-control here")]
)
def test_where_there_is_no_service_it_says_why(tmp_path, monkeypatch, gpu_there, said):
    monkeypatch.setattr(gpu_processes.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu_there)
    with pytest.raises(NotMeasuredError, match=f"not measured: {said}"):
        Bench("cpu", "toy", 5, tmp_path).together([], service=True)


def test_the_replay_memory_is_full_of_what_was_collected():
    config = cell("toy", "reference", 1)
    assert isinstance(config.parameters, DimaParameters)
    with closing(DimaLearner(config, CPU)) as learner:
        learner.collect()
        stored, count = learner.replay.state_dict(), learner.replay.size
        fill(learner.replay)
        assert learner.replay.size == config.parameters.replay.capacity == 10 * count
        assert learner.replay._episodes[0] == (0, int(stored["episodes"][0, 1]))
        for values in learner.replay._data.values():
            torch.testing.assert_close(values[-count:], values[:count])


@pytest.mark.parametrize("sizes", TASKS)
def test_a_cell_learns_all_parts_from_the_first_epoch_on(sizes):
    config = cell(sizes, "fast", 4)
    assert (config.seed, config.compute) == (4, "fast")
    assert isinstance(config.parameters, DimaParameters)
    assert config.parameters.schedule.first_policy_epoch == 1


def test_what_a_path_finds():
    timed, again = (
        epochs(cell("toy", "reference", 1), CPU, count, eager=eager, waits=False)
        for count, eager in ((2, False), (0, True))
    )
    assert [len(timed["epoch_seconds"]), *map(len, timed["stage_seconds"].values())] == [2] * 3
    assert list(timed["stage_seconds"]) == list(STAGES)
    assert (timed["losses"], timed["weights"]) == (again["losses"], again["weights"])
    assert {part: len(losses) for part, losses in timed["losses"].items()} == dict.fromkeys(PARTS[:3], 6) | {
        "behavior": 4
    }
    assert timed["host_synchronisations"] == {"updates": 0, "epoch": 0}
    assert timed["peak_bytes"]["held"] > 0
    assert "epoch_seconds" not in again


def test_what_a_cell_finds():
    found = whole_cell(cell("toy", "reference", 1), CPU, 250)
    assert (found["env_steps"], found["epochs"], found["steady_env_steps"]) == (250, 4, 100)
    assert found["remaining_env_steps_of_the_whole"] == 1000 - 150
    assert min(found["seconds"].values()) > 0
    assert found["waiting_for_evaluation_seconds"] > 0


def test_waits_on_a_gpu_are_those_its_driver_warns_of(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with waits_of_the_host(torch.device("cuda")) as waits:
        for text in (
            "it does not yet detect all synchronizing operations",
            *["called a synchronizing CUDA operation"] * 2,
        ):
            warnings.warn(text, stacklevel=1)
        assert len(waits()) == 2
    assert modes == ["warn", "default"]


def test_everything_at_toy_size(tmp_path, capsys):
    assert main(["--device", "cpu", "--sizes", "toy", "--json", str(tmp_path / "found.json")]) == 0
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert written.keys() >= {
        "commit",
        "device",
        "driver",
        "torch",
        "cuda",
        "sizes",
        "minutes",
        "targets",
        "measurements",
    }
    assert list(written["measurements"]) == list(all_made())
    assert written["measurements"][SERVED]["missing"] == "not measured: there is no GPU"
    assert written["measurements"][TOGETHER]["mps"] is False
    assert [len(seconds) for seconds in written["measurements"][TOGETHER]["epoch_seconds"]] == [5] * 4
    rows = {row["what"]: row for row in written["targets"]}
    missing = rows.pop("four seeds at once over one, with MPS")
    assert (missing["value"], missing["reason"]) == (None, f"{SERVED}: not measured: there is no GPU")
    assert all(row["value"] >= 0 and row["reason"] is None for row in rows.values())
    for what in (
        "reference with graphs, two runs: weights differ",
        "reference, graphs and eager: first losses, relative",
    ):
        assert rows[what]["value"] == 0
    printed = capsys.readouterr().out
    assert "no CUDA graphs (the device is a CPU)" in printed
    assert "\nwhat | value | target | met\n" in printed
