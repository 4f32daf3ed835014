"""Analysis and campaign read files: they pull in no tensor library, environment or method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

ALLOWED = {
    "dima",
    "dima.analysis",
    "dima.campaign",
    "dima.cell",
    "dima.cell.cards",
    "dima.cell.lock",
    "dima.config",
    "dima.config.grid",
    "dima.config.studied",
    "dima.config.yaml_file",
    "dima.errors",
    "dima.options",
    "dima.record",
    "dima.record.archive",
    "dima.record.attempt",
    "dima.record.cell_state",
    "dima.record.columns",
    "dima.record.compressed",
    "dima.record.events",
    "dima.record.files",
    "dima.record.mongo",
    "dima.record.mongo.database",
    "dima.record.snapshot",
    "dima.words",
}
SCRIPT = """
import importlib, pkgutil, sys
import dima.analysis, dima.campaign
for package in (dima.analysis, dima.campaign):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
print(*sorted(sys.modules))
"""


def test_importing_all_of_analysis_loads_neither_torch_nor_environments_nor_methods() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {
        f"dima.analysis.{name}" for name in ("records.load", "tables.write", "figures.write", "report.write")
    } <= set(loaded)
    assert {"dima.campaign.plan", "dima.campaign.cell_status"} <= set(loaded)
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {
        "torch",
        "envs",
        "mujoco",
        "gymnasium",
        "gymnasium_robotics",
        "sacred",
        "pymongo",
        "harl",
        "snakemake",
    }
    rooms = ("dima.analysis.", "dima.campaign.", "dima.config.")
    own = {name for name in loaded if name.partition(".")[0] == "dima" and not name.startswith(rooms)}
    assert own <= ALLOWED
