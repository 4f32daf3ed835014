"""A clone of this repository with small grids, whose images are really built: for tests of cells in
images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from conftest import TINY_DIMA, TINY_MAPPO

from dima.containers.environment import container_environment

ROOT = Path(__file__).parents[1]
CANARY_IN_URI = "canary-of-a-password"
CANARY = """
import os
from pathlib import Path

if "APPTAINER_CONTAINER" in os.environ:
    Path("results/loaded").touch()
"""
BUILDING = {
    "APPTAINER_DROP_CAPS": "CAP_SYS_RESOURCE",
    "APPTAINER_MKSQUASHFS_ARGS": "-comp zstd -Xcompression-level 1",
}
HOSTILE = {
    "DIMA_MONGO_URI": f"mongodb://user:{CANARY_IN_URI}@127.0.0.1:9/dima",
    "CONDA_PREFIX": "/conda",
    "OMP_NUM_THREADS": "7",
    "SLURM_JOB_ID": "77",
    "CUDA_VISIBLE_DEVICES": "0",
    "APPTAINER_WRITABLE_TMPFS": "1",
    "SINGULARITYENV_LEAKED": "1",
    "SLURMISH": "1",
}
# seconds of a core a cell: on push-mass 10 epochs of 100 steps, DIMA on HalfCheetah 3 of 1,000
TASKS = {
    "push-mass": {"env_steps": 1000, "evaluation": {"every": 500, "episodes": 2}},
    "halfcheetah-2x3": {"env_steps": 3000, "evaluation": {"every": 1500, "episodes": 1}},
}
METHODS = {"dima": TINY_DIMA, "dima-joint": TINY_DIMA, "mappo": TINY_MAPPO}


def write_small_grids(config: Path) -> None:
    """Make the cells of the grid `quick` small in this configuration, and add the grid `tiny`, two methods on
    push-mass."""
    tracked = yaml.safe_load((config / "quick.yaml").read_text(encoding="utf-8"))
    (config / "quick.yaml").write_text(
        yaml.safe_dump({**tracked, "overrides": {"tasks": TASKS, "methods": METHODS}}), encoding="utf-8"
    )
    task, methods = "push-mass", ("dima", "mappo")
    experiments = {"final_returns": [{"tasks": [task], "methods": list(methods), "seeds": [1, 2]}]}
    overrides = {"tasks": {task: TASKS[task]}, "methods": {name: METHODS[name] for name in methods}}
    (config / "tiny.yaml").write_text(
        yaml.safe_dump({"experiments": experiments, "overrides": overrides}), encoding="utf-8"
    )


def git(folder: Path, *arguments: str) -> str:
    """What git printed."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


class Clone:
    """A repository with this one's files and small grids in one commit, and a canary on the host's
    PYTHONPATH."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        write_small_grids(folder / "workflow/config")
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "all")
        arguments = f"bootstrap=localimage\nbase={base}\npackages=\nextras=training,mujoco,mongo\n"
        (folder / "containers/dima.arguments").write_text(arguments, encoding="utf-8")
        (folder / "canary").mkdir()
        (folder / "canary/sitecustomize.py").write_text(CANARY, encoding="utf-8")
        self.environ = {**os.environ, **BUILDING, **HOSTILE, "PYTHONPATH": f"{folder}:{folder / 'canary'}"}

    def run(self, *command: str | Path) -> str:
        """What the command printed; it must end with status 0."""
        command = (Path(sys.executable).with_name(str(command[0])), *command[1:])
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        logs = "".join(
            path.read_text(errors="replace")[-3000:] for path in self.folder.glob("results/**/*.log")
        )
        assert result.returncode == 0, result.stderr + logs
        return result.stdout + result.stderr

    def inside(self, code: str, **environ: str) -> str:
        """What Python prints in the image, called as cells are."""
        environ = {**container_environment(self.environ, self.folder, gpu=False), **environ}
        command = ["apptainer", "exec", "--home", self.folder, "containers/dima.sif", "python", "-c", code]
        return subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    def provenance(self, cell: str) -> dict:
        """Of the cell's only start."""
        (start,) = json.loads((self.folder / cell / "summary.json").read_text())["provenance"]
        return start
