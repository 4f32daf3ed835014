"""Analysis reads files: it pulls in no tensor library, environment or method."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_grid import write_synthetic

ROOT = Path(__file__).parents[2]

ALLOWED = {
    "dima", "dima.analysis", "dima.cell_lock", "dima.config", "dima.errors", "dima.grid", "dima.record", "dima.record.archive",
    "dima.record.attempt", "dima.record.database", "dima.record.events", "dima.record.snapshot", "dima.studied", "dima.yaml_file",
}  # fmt: skip
SCRIPT = """
import importlib, pkgutil, sys
import dima.analysis
for module in pkgutil.walk_packages(dima.analysis.__path__, "dima.analysis."):
    importlib.import_module(module.name)
print(*sorted(sys.modules))
"""


def test_importing_all_of_analysis_loads_neither_torch_nor_environments_nor_methods() -> None:
    loaded = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout.split()
    assert {"dima.analysis.tables", "dima.analysis.figures", "dima.analysis.load", "dima.analysis.report.write"} <= set(loaded)
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"torch", "envs", "mujoco", "gymnasium", "gymnasium_robotics", "sacred", "pymongo", "harl", "snakemake"}
    own = {name for name in loaded if name.partition(".")[0] == "dima" and not name.startswith(("dima.analysis.", "dima.config."))}
    assert own <= ALLOWED


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root in ("torch", "sacred", "safetensors", "vector_quantize_pytorch", "envs", "mujoco", "gymnasium", "snakemake", "harl"):
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
sys.meta_path.insert(0, Absent())
from dima.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_tables_report_and_studies_are_written_where_nothing_for_training_is_installed(tmp_path: Path) -> None:
    write_synthetic(tmp_path)

    def dima(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ABSENT, *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)

    for command in (["tables"], ["report"], ["studies", "--task", "pen"], ["status"]):
        result = dima(*command, "--grid", "synthetic")
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "results/synthetic/tables/final_returns.md").is_file()
    assert (tmp_path / "results/synthetic/report/index.html").is_file()
    refused = dima("train", "--grid", "quick", "--task", "push-mass", "--method", "dima", "--seed", "1")
    message = "dima: This command needs torch, which is not installed: pip install -e '.[training]'.\n"
    assert (refused.returncode, refused.stderr) == (2, message)
