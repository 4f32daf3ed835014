"""`dima plan` names the cells that Snakemake would run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dima.campaign.cell_plan import CellPlan, cell_plans
from dima.config.grid import load_grid

QUICK = """experiments:
  final_returns: [{tasks: [push-mass], methods: [dima, dima-joint], seeds: [1, 2]}]
"""
CELLS = "results/quick/cells"
DIMA = [f"{CELLS}/push-mass/dima/seed-{seed}" for seed in (1, 2)]
JOINT = [f"{CELLS}/push-mass/dima-joint/seed-{seed}" for seed in (1, 2)]


def agreed(stage) -> tuple[list[str], dict[str, CellPlan]]:
    """The cells that Snakemake would run, which `dima plan` names, too; and what it says of each cell."""
    by_snakemake = [job for job in stage.planned("--profile", "local", "quick") if job.startswith(CELLS)]
    grid = load_grid("quick", stage.folder / "workflow/config")
    plans = {f"{CELLS}/{plan.key.folder}": plan for plan in cell_plans(grid, stage.folder / CELLS)}
    assert (
        sorted(cell for cell, plan in plans.items() if plan.fate in ("new", "anew", "continue"))
        == by_snakemake
    )
    return by_snakemake, plans


@pytest.mark.slow
def test_what_the_plan_names_is_what_snakemake_would_run(stage) -> None:
    stage.write("quick.yaml", QUICK)
    first = stage.snakemake(
        "--profile", "local", "--cores", "2", "quick", FAILING="push-mass/dima-joint/seed-2"
    )
    assert first.returncode != 0
    assert agreed(stage)[0] == [JOINT[1]]
    assert stage.snakemake("--profile", "local", "--cores", "2", "quick").returncode == 0
    assert agreed(stage)[0] == []

    method = stage.folder / "workflow/config/methods/dima-joint.yaml"
    own = method.read_text(encoding="utf-8")
    task = stage.folder / "workflow/config/tasks/push-mass.yaml"
    label = task.read_text(encoding="utf-8")
    stage.write("quick.yaml", f"# a comment\n{QUICK}")
    stage.write("methods/dima-joint.yaml", f"{own}# a comment\n")
    stage.write("tasks/push-mass.yaml", label.replace("label: ", "label: Another "))
    assert label != task.read_text(encoding="utf-8")
    assert agreed(stage)[0] == []

    stage.write("methods/dima-joint.yaml", f"{own}for_task: {{push-mass: {{behavior: {{horizon: 3}}}}}}\n")
    planned, plans = agreed(stage)
    assert planned == JOINT
    assert plans[JOINT[0]].reason == "configuration changed: parameters.behavior.horizon 15 -> 3"
    stage.write("methods/dima-joint.yaml", own)

    overrides = "overrides: {methods: {dima: {behavior: {horizon: 4}}}}\n"
    stage.write("quick.yaml", QUICK.replace("[1, 2]", "[1, 2, 3]") + overrides)
    (stage.folder / JOINT[0] / "summary.json").unlink()
    planned, plans = agreed(stage)
    thirds = [str(Path(folder).with_name("seed-3")) for folder in (DIMA[0], JOINT[0])]
    assert planned == sorted([*DIMA, JOINT[0], *thirds])
    assert plans[DIMA[1]].reason == "configuration changed: parameters.behavior.horizon 15 -> 4"
    assert plans[JOINT[0]].reason == "its summary was removed"
    assert {plans[folder].fate for folder in thirds} == {"new"}

    shutil.rmtree(stage.folder / ".snakemake")  # without its notes Snakemake knows of no change
    assert [job for job in stage.planned("--profile", "local", "quick") if job.startswith(CELLS)] == sorted(
        [JOINT[0], *thirds]
    )
