"""Cells of every method of a checkout, from the command line: what is run, what is collected, and what is
made of it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from dima.cli import main
from dima.record.events import read_events

LINEAGE = "{}-mamujoco, gym 0.21.0, mujoco-py 2.1.2.14"


def snapshot(folder: Path) -> dict[Path, tuple]:
    """Everything below a folder: kind and rights, time of the last change, content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        found[path] = (state.st_mode, state.st_mtime_ns, path.read_bytes() if path.is_file() else None)
    return found


def test_a_cell_of_harl(upstreams, read_only) -> None:
    """The command itself, on a checkout that it cannot write to. 13 updates of 100 steps reach the budget of
    1,250; 13 is prime."""
    read_only(upstreams.harl.folder)
    before, status = (
        snapshot(upstreams.harl.folder),
        upstreams.harl.git("--no-optional-locks", "status", "--porcelain", "--ignored"),
    )
    command = [sys.executable, "-m", "dima", *upstreams.arguments("happo-checkout", "--threads", "2")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "1,300 environment steps" in result.stdout
    folder = upstreams.folder("happo-checkout")
    assert snapshot(upstreams.harl.folder) == before
    assert upstreams.harl.git("--no-optional-locks", "status", "--porcelain", "--ignored") == status == ""

    events = read_events(folder / "events.jsonl")
    evaluations = [event for event in events if event["kind"] == "evaluation"]
    assert [(event["grid_step"], event["env_steps"], event["return"]) for event in evaluations] == [
        (300, 300, -162.5),
        (600, 600, -125.0),
        (900, 900, -87.5),
        (1200, 1200, -50.0),
        (1250, 1300, -37.5),
    ]
    assert {
        (event["episodes"], event["length"], event["success"], "episode" in event) for event in evaluations
    } == {(10, None, None, False)}
    between = [event for event in events if event["kind"] == "scalars"]
    assert [event["env_steps"] for event in between] == [100, 200, 400, 500, 700, 800, 1000, 1100]
    assert (between[0]["group"], between[0]["values"]) == ("upstream_evaluation", {"return": -187.5})

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["final"] == {
        "grid_step": 1250, "env_steps": 1300, "mean": -37.5, "std": None, "episodes": 10, "returns": None,
    }  # fmt: skip
    assert summary["mean_of_last_five"] == pytest.approx((-162.5 - 125 - 87.5 - 50 - 37.5) / 5)
    assert (summary["engine"], summary["epochs"], summary["attempts"]) == ("checkout", None, 1)
    assert summary["lineage"] == LINEAGE.format("harl")
    (start,) = summary["provenance"]
    assert start["upstream"]["name"] == "HARL"
    assert start["upstream"]["commit"] == upstreams.harl.commit
    assert start["upstream"]["versions"]["gym"] == "0.21.0"
    assert start["upstream"]["python"] == sys.version.split()[0]
    assert str(upstreams.harl.folder) not in "".join(path.read_text() for path in folder.glob("*.json*"))
    assert json.loads((folder / "status.json").read_text())["state"] == "completed"
    assert not (folder / "upstream/source").exists()
    assert len(list((folder / "upstream/results").rglob("actor_agent0.pt"))) == 1


def test_what_harl_is_told(upstreams) -> None:
    """Every value of the cell by HARL's names, its own files' values where the cell has none, and nothing
    unset."""
    assert main(upstreams.arguments("happo-checkout", "--threads", "2")) == 0
    (told,) = upstreams.folder("happo-checkout").glob(
        "upstream/results/mamujoco/HalfCheetah-v2-2x3/happo/cell/seed-00002-*/config.json"
    )
    configuration = json.loads(told.read_text())
    assert configuration == json.loads(
        (upstreams.folder("happo-checkout") / "upstream/config.json").read_text()
    )
    assert configuration["main_args"] == {"algo": "happo", "env": "mamujoco", "exp_name": "cell"}
    assert configuration["env_args"] == {
        "scenario": "HalfCheetah-v2",
        "agent_conf": "2x3",
        "agent_obsk": 0,
        "episode_limit": 1000,
    }
    algo = configuration["algo_args"]
    assert algo["seed"] == {"seed_specify": True, "seed": 2}
    assert algo["device"] == {"cuda": False, "cuda_deterministic": True, "torch_threads": 2}
    assert algo["eval"] == {"use_eval": True, "n_eval_rollout_threads": 10, "eval_episodes": 10}
    assert algo["train"] == {
        "n_rollout_threads": 2, "episode_length": 50, "num_env_steps": 1300, "eval_interval": 1,
        "log_interval": 5, "model_dir": None,
        "use_valuenorm": True, "use_linear_lr_decay": False, "use_proper_time_limits": True,
    }  # fmt: skip
    assert (algo["model"]["hidden_sizes"], algo["algo"]["ppo_epoch"], algo["algo"]["share_param"]) == (
        [128, 128, 128],
        15,
        False,
    )
    assert "unset" not in told.read_text()


def test_the_warm_up_of_hasac_counts(upstreams) -> None:
    """200 steps of warm-up, then 210 of 5 steps each: evaluations every 42, since 60 would be due and 42
    divides 210."""
    assert main(upstreams.arguments("hasac-checkout")) == 0
    folder = upstreams.folder("hasac-checkout")
    train = json.loads((folder / "upstream/config.json").read_text())["algo_args"]["train"]
    assert (train["warmup_steps"], train["num_env_steps"], train["eval_interval"]) == (200, 1050, 42)
    events = read_events(folder / "events.jsonl")
    assert [(event["kind"], event["env_steps"], event.get("grid_step")) for event in events] == [
        ("evaluation", 410, 300),
        ("evaluation", 620, 600),
        ("scalars", 830, None),
        ("evaluation", 1040, 900),
        ("evaluation", 1250, 1250),
    ]
    assert events[-1]["return"] == -43.75
    assert events[-1]["length"] == 1000.0
    assert events[2]["values"] == {"return": -96.25, "length": 1000.0}


def test_a_cell_of_marie(upstreams, read_only, capfd) -> None:
    """Two episodes of 1,000 steps; its seed is 23 + 100 times the cell's."""
    read_only(upstreams.marie.folder)
    before = snapshot(upstreams.marie.folder)
    assert main(upstreams.arguments("marie-checkout")) == 0
    assert snapshot(upstreams.marie.folder) == before
    folder = upstreams.folder("marie-checkout")
    told = (folder / "upstream/output.log").read_text().splitlines()[0]
    assert told == (
        "told {'n_workers': 1, 'seed': 2, 'steps': 1250, 'env': 'mamujoco', 'env_name': 'HalfCheetah-v2', "
        "'agent_conf': '2x3', "
        "'mode': 'disabled', 'tokenizer': 'vq', 'decay': '0.8', 'temperature': '1.0', 'sample_temp': 'inf', "
        "'ce_for_r': True}"
    )
    events = [event for event in read_events(folder / "events.jsonl") if event["kind"] == "evaluation"]
    assert [(event["grid_step"], event["env_steps"], event["return"]) for event in events] == [
        (900, 1000, 348.0),
        (1250, 2000, 473.0),
    ]
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["final"]["std"], summary["final"]["episodes"]) == (None, 10)
    assert summary["lineage"] == LINEAGE.format("marie")
    assert not (folder / "upstream/source").exists()
    assert len(list((folder / "upstream/results").rglob("model_final.pth"))) == 1
    assert "MARIE" in capfd.readouterr().out


def test_tables_say_which_engine_it_was(upstreams) -> None:
    assert main(upstreams.arguments("happo-checkout")) == 0
    shutil.copytree(ROOT / "workflow/reference", upstreams.workplace / "workflow/reference")
    assert main(["tables", "--grid", "small"]) == 0
    assert main(["figures", "--grid", "small"]) == 0
    with (upstreams.workplace / "results/small/tables/final_returns.csv").open() as file:
        rows = {(row["task"], row["method"]): row for row in csv.DictReader(file)}
    row = rows["halfcheetah-2x3", "happo-checkout"]
    assert (row["engine"], row["lineage"], row["mean"]) == ("checkout", LINEAGE.format("harl"), "-37.5")
    assert (row["verdict"], row["reason"]) == ("not comparable", "no number in the paper")
    assert rows["halfcheetah-2x3", "mappo-checkout"]["verdict"] == "not run"


def test_its_policy_is_neither_filmed_nor_studied(upstreams, capsys) -> None:
    assert main(upstreams.arguments("happo-checkout")) == 0
    folder = upstreams.folder("happo-checkout")
    capsys.readouterr()
    assert main(["render", "halfcheetah-2x3", "--policy", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"dima: {folder} was trained by a checkout's program: its policy cannot be loaded here.\n"
    )
    study = ["study", "gain", *upstreams.arguments("happo-checkout")[1:]]
    assert main(study) == 2
    assert capsys.readouterr().err == "dima: Method happo-checkout has no world model to study.\n"


def test_a_finished_cell_does_nothing_and_needs_no_checkout(upstreams, monkeypatch, capsys) -> None:
    assert main(upstreams.arguments("mappo-checkout")) == 0
    monkeypatch.delenv("DIMA_HARL_CHECKOUT")
    assert main(upstreams.arguments("mappo-checkout")) == 0
    assert "finished, nothing to do" in capsys.readouterr().out


def test_from_scratch_is_a_new_attempt(upstreams, monkeypatch) -> None:
    assert main(upstreams.arguments("mappo-checkout")) == 0
    folder = upstreams.folder("mappo-checkout")
    old = (folder / "events.jsonl").read_text()
    monkeypatch.setenv("STAND_IN_SHIFT", "1000")
    assert main(upstreams.arguments("mappo-checkout", "--from-scratch")) == 0
    assert (folder / "attempts/1/events.jsonl").read_text() == old
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["attempts"], summary["final"]["mean"]) == (2, 962.5)
