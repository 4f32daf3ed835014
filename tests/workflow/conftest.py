"""The real Snakefile and rules over a staged folder: its own configuration, and a stand-in that trains
nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Stage:
    """A folder with the repository's configuration in which Snakemake runs the repository's rules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        shutil.copytree(ROOT / "workflow", folder / "workflow")
        for profile in ("local", "slurm"):
            (folder / profile).symlink_to(f"workflow/profiles/{profile}")
        shutil.copy(ROOT / "tests/workflow/stand_in.py", folder / "dima.py")

    def write(self, path: str, text: str) -> None:
        """Replace a file of `workflow/config`."""
        (self.folder / "workflow/config" / path).write_text(text, encoding="utf-8")

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("snakemake")
        return subprocess.run(
            [program, "--snakefile", ROOT / "Snakefile", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def planned(self, *arguments: str) -> list[str]:
        """What a dry run would make: cells by their folder, everything else by the name of its rule,
        sorted."""
        result = self.snakemake("--dry-run", *arguments)
        assert result.returncode == 0, result.stderr
        jobs = re.findall(
            r"^ *(?:local)?rule (\w+):\n(?: +input: .*\n)?(?: +output: (.*)\n)?",
            result.stdout + result.stderr,
            re.MULTILINE,
        )
        return sorted(str(Path(output).parent) if rule == "cell" else rule for rule, output in jobs)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)
