"""What a dry run promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dima.config.grid import load_grid

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "workflow/config"


def test_the_papers_grid_is_eleven_tasks_six_methods_four_seeds_and_the_ablations() -> None:
    grid = load_grid("paper", CONFIG)
    assert len(grid.experiments["final_returns"]) == 11 * 6 * 4
    assert len(grid.experiments["ablation_returns"]) == 3 * 2 * 8
    assert set(grid.experiments["imagination"] + grid.experiments["agent_order"]) <= set(
        grid.experiments["final_returns"]
    )
    assert len(grid.cells) == 11 * 6 * 4 + 3 * (2 * 8 - 4)  # seeds 1-4 of DIMA on three tasks stand in both
    assert {
        grid.task(key.task).env_steps for key in grid.cells if grid.task(key.task).suite == "mamujoco"
    } == {1_000_000}
    assert {
        grid.task(key.task).env_steps for key in grid.cells if grid.task(key.task).suite == "bidexhands"
    } == {300_000}


def test_dry_run_of_all_lists_every_cell_and_writes_nothing(stage) -> None:
    planned = stage.planned("all")
    cells = [f"results/paper/cells/{key.folder}" for key in load_grid("paper", CONFIG).cells]
    assert [job for job in planned if job.startswith("results")] == sorted(cells)
    rest = {
        "all",
        "frames",
        "study",
        *(
            f"paper_{name}"
            for name in ("figures", "prediction_error", "report", "tables", "world_model_figures")
        ),
    }
    assert set(planned) == {*cells, *rest}
    assert not (stage.folder / "results").exists()


def test_quick_goes_through_the_same_rules(stage) -> None:
    cells = [f"results/quick/cells/{key.folder}" for key in load_grid("quick", CONFIG).cells]
    # frames of two methods, and the orders of two seeds
    rest = [
        "frames",
        "frames",
        "quick_figures",
        "quick_report",
        "quick_tables",
        "quick_world_model_figures",
        "study",
        "study",
    ]
    assert stage.planned("quick") == sorted([*cells, "quick", *rest])


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_profiles_are_found_by_name_and_do_not_rerun_for_edited_rules(stage, profile: str) -> None:
    target = "results/quick/cells/push-mass/dima/seed-1/summary.json"
    assert stage.planned("--profile", profile, target) == [str(Path(target).parent)]
    assert (ROOT / profile).resolve() == ROOT / "workflow/profiles" / profile
    settings = yaml.safe_load((ROOT / profile / "config.yaml").read_text(encoding="utf-8"))
    assert settings["rerun-triggers"] == ["mtime", "params", "input"]
    assert settings["rerun-incomplete"] is True


OURS = {"threads", "resources.gpu_percent", "resources.options", "GPUS"}  # no user's words


def test_every_value_in_a_shell_command_is_quoted() -> None:
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    commands = re.findall(r"shell:\n((?: +\"[^\n]*\n)+)", rules)
    values = [value for command in commands for value in re.findall(r"\{([^}]*)\}", command)]
    assert len(commands) == rules.count("shell:")
    assert values
    assert [value for value in values if not value.endswith(":q") and value not in OURS] == []
