"""Real cells in really built images, also under a real Slurm: the tracked definition files over a local root file system."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY_DIMA, TINY_MAPPO
from container_base import make_base

from dima.containers.environment import container_environment
from dima.record.events import read_events

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("apptainer", "mmdebstrap") if shutil.which(name) is None] + ["a root user"] * (os.getuid() != 0)
CANARY_IN_URI = "canary-of-a-password"
CANARY = """
import os
from pathlib import Path

if "APPTAINER_CONTAINER" in os.environ:
    Path("results/loaded").touch()
"""
BUILDING = {"APPTAINER_DROP_CAPS": "CAP_SYS_RESOURCE", "APPTAINER_MKSQUASHFS_ARGS": "-comp zstd -Xcompression-level 1"}
HOSTILE = {
    "DIMA_MONGO_URI": f"mongodb://user:{CANARY_IN_URI}@127.0.0.1:9/dima", "CONDA_PREFIX": "/conda", "OMP_NUM_THREADS": "7",
    "SLURM_JOB_ID": "77", "CUDA_VISIBLE_DEVICES": "0", "APPTAINER_WRITABLE_TMPFS": "1", "SINGULARITYENV_LEAKED": "1", "SLURMISH": "1",
}  # fmt: skip
MAY_BE_INSIDE = {
    "HOME", "PATH", "PWD", "SHLVL", "TERM", "LANG", "LC_CTYPE", "_", "PS1", "PROMPT_COMMAND", "LD_LIBRARY_PATH",
    "PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR", "XDG_CACHE_HOME",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES",
    "DIMA_MONGO_URI", "DIMA_WORKFLOW_STARTED",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


class Clone:
    """A repository with this one's files in one commit, a grid of seconds, and a canary on the host's PYTHONPATH."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        tiny = {"env_steps": 400, "evaluation": {"every": 200, "episodes": 2}}
        methods = {"dima": TINY_DIMA, "mappo": TINY_MAPPO}
        experiments = {"final_returns": [{"tasks": ["push-mass"], "methods": list(methods), "seeds": [1, 2]}]}
        grid = {"experiments": experiments, "overrides": {"tasks": {"push-mass": tiny}, "methods": methods}}
        (folder / "workflow/config/tiny.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "all")
        arguments = f"bootstrap=localimage\nbase={base}\npackages=\nextras=training,mongo\n"
        (folder / "containers/dima.arguments").write_text(arguments, encoding="utf-8")
        (folder / "canary").mkdir()
        (folder / "canary/sitecustomize.py").write_text(CANARY, encoding="utf-8")
        self.environ = {**os.environ, **BUILDING, **HOSTILE, "PYTHONPATH": f"{folder}:{folder / 'canary'}"}

    def run(self, *command: str | Path) -> str:
        """What the command printed; it must end with status 0."""
        command = (Path(sys.executable).with_name(str(command[0])), *command[1:])
        result = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=400, check=False)
        logs = "".join(path.read_text(errors="replace")[-3000:] for path in self.folder.glob("results/**/*.log"))
        assert result.returncode == 0, result.stderr + logs
        return result.stdout + result.stderr

    def inside(self, code: str, **environ: str) -> str:
        """What Python prints in the image, called as cells are."""
        environ = {**container_environment(self.environ, self.folder, gpu=False), **environ}
        command = ["apptainer", "exec", "--home", self.folder, "containers/dima.sif", "python", "-c", code]
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=60, check=True).stdout

    def provenance(self, cell: str) -> dict:
        (start,) = json.loads((self.folder / cell / "summary.json").read_text())["provenance"]
        return start


def evaluations(folder: Path) -> list[tuple]:
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [(event["grid_step"], event["return"]) for event in events if "grid_step" in event]


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("images")
    make_base(folder / "base", "dima[training,mongo,harl]", "pip")
    (folder / "clone").mkdir()
    clone = Clone(folder / "clone", folder / "base")
    clone.run("snakemake", "--cores", "1", "containers")
    yield clone
    shutil.rmtree(folder)  # pytest would keep two gigabytes


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(MISSING != [], reason=f"needs {' and '.join(MISSING)}"),
    pytest.mark.xdist_group("images"),
]


def test_cells_run_in_images(clone: Clone) -> None:
    commit = git(clone.folder, "rev-parse", "HEAD")
    built = (clone.folder / "containers/images.lock").read_text()
    lock = json.loads(built)
    images = {name: digest(clone.folder / f"containers/{name}.sif") for name in ("dima", "harl")}
    assert {name: entry["digest"] for name, entry in lock.items()} == images
    assert "ok    packages" in (clone.folder / "results/logs/containers/dima.log").read_text()  # %test ran the doctor
    assert "Nothing to be done" in clone.run("snakemake", "--cores", "1", "--dry-run", "containers")

    cells = {name: f"results/tiny/cells/push-mass/{method}/seed-1" for name, method in (("dima", "dima"), ("harl", "mappo"))}
    targets = [f"{cell}/summary.json" for cell in cells.values()]
    printed = clone.run("snakemake", *targets, "--cores", "1", "--printshellcmds", "--sdm", "apptainer")
    for name, cell in cells.items():
        start = clone.provenance(cell)
        assert (start["image"], start["commit"], start["dirty"]) == (images[name], commit, False)
        assert start["lock"] == hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    assert not (clone.folder / "results/loaded").exists()
    clone.inside("pass", APPTAINERENV_PYTHONPATH=str(clone.folder / "canary"))
    assert (clone.folder / "results/loaded").exists()  # so the canary would have sung

    assert CANARY_IN_URI not in printed
    kept = [path for name in ("results", ".snakemake") for path in (clone.folder / name).rglob("*") if path.is_file()]
    assert len(kept) > 20
    assert [path for path in [*kept, clone.folder / "containers/images.lock"] if CANARY_IN_URI.encode() in path.read_bytes()] == []

    environ = json.loads(clone.inside("import json, os; print(json.dumps(dict(os.environ)))"))
    assert {name for name in environ if not name.startswith(("APPTAINER_", "SINGULARITY_"))} <= MAY_BE_INSIDE
    assert {"SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES", "DIMA_MONGO_URI"} <= set(environ)
    assert environ["OMP_NUM_THREADS"] == "1"
    writable = clone.inside("import os; print([path for path in ('.', 'results', '/srv/dima', '/') if os.access(path, os.W_OK)])")
    assert writable.strip() == "['results']"
    assert clone.inside("import dima, sys; print(dima.__file__, sys.executable)").split() == [
        "/srv/dima/dima/__init__.py",
        "/usr/local/bin/python",
    ]

    options = {"--grid": "tiny", "--task": "push-mass", "--method": "dima", "--seed": "1", "--results": "native"}
    clone.run("python", "-m", "dima", "train", *(part for pair in options.items() for part in pair))
    outside = clone.folder / "native/tiny/cells/push-mass/dima/seed-1"
    assert evaluations(outside) == evaluations(clone.folder / cells["dima"]) != []

    lock["dima"]["digest"] = "sha256:" + "0" * 64
    (clone.folder / "containers/images.lock").write_text(json.dumps(lock))
    other = "results/tiny/cells/push-mass/dima/seed-2"
    clone.run("snakemake", f"{other}/summary.json", "--cores", "1", "--sdm", "apptainer")
    assert clone.provenance(other)["image"] == f"{images['dima']} (unpinned)"
    (clone.folder / "containers/images.lock").write_text(built)


def squeue(*arguments: str) -> list[str]:
    result = subprocess.run(["squeue", "-h", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return result.stdout.splitlines()


def job_of(wildcards: str) -> str:
    """Number of the cell's running Slurm job; its comment ends in the wildcards."""
    (number,) = [line.split()[0] for line in squeue("-t", "R", "-o", "%i %k") if line.endswith(wildcards)]
    return number


def wait_until(condition: Callable[[], bool], snakemake: subprocess.Popen[str]) -> None:
    while not condition():
        if snakemake.poll() is not None:
            raise AssertionError(snakemake.stdout.read())
        time.sleep(0.05)


def test_a_grid_under_slurm_in_images_survives_signals_and_kills(clone: Clone) -> None:
    """SIGTERM, as before a preemption: checkpoint, exit, requeue. Then SIGKILL: another try. The end equals that of an undisturbed run."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("needs a running Slurm")
    grid = yaml.safe_load((clone.folder / "workflow/config/tiny.yaml").read_text())
    grid["experiments"]["final_returns"][0]["seeds"] = [1]
    grid["overrides"]["tasks"]["push-mass"] = {"env_steps": 8000, "evaluation": {"every": 2000, "episodes": 2}}
    (clone.folder / "workflow/config/slurmed.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    environ = {name: value for name, value in clone.environ.items() if name not in ("SLURM_JOB_ID", "DIMA_MONGO_URI")}
    resources = ["--set-resources", "cell:mem_mb=2000", "cell:runtime=30"]
    polling = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2", "--latency-wait", "5"]
    program = Path(sys.executable).with_name("snakemake")
    command = [program, "slurmed_tables", "--profile", "slurm", *resources, *polling, "--sdm", "apptainer"]
    with subprocess.Popen(command, cwd=clone.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as snakemake:
        cell = "push-mass/dima/seed-1"
        status = clone.folder / "results/slurmed/cells" / cell / "status.json"

        def said(field: str) -> Any:
            return json.loads(status.read_text())[field] if status.exists() else 0

        wait_until(lambda: said("env_steps") >= 1000, snakemake)
        job = job_of("push-mass_dima_1")
        subprocess.run(["scancel", "--signal=TERM", job], check=True, timeout=60)
        wait_until(lambda: said("state") == "interrupted", snakemake)
        stopped_at = said("env_steps")
        wait_until(lambda: squeue("-j", job, "-o", "%T") == ["PENDING"], snakemake)
        time.sleep(5)  # Slurm waits two minutes, so that word of the old start's end is not taken for the new one's
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True, timeout=60)
        wait_until(lambda: said("env_steps") >= stopped_at + 1000, snakemake)
        assert job_of("push-mass_dima_1") == job  # its own number
        os.kill(said("process"), signal.SIGKILL)  # this machine is the cluster
        printed, _ = snakemake.communicate(timeout=400)
    log = (clone.folder / f"results/slurmed/logs/{cell}.log").read_text()
    assert snakemake.returncode == 0, printed + log
    assert f"continuing at {stopped_at:,} of 8,000 environment steps" in log  # of the last try
    assert len(json.loads((status.parent / "provenance.json").read_text())["starts"]) == 3
    for name in ("dima", "mappo"):
        options = ["--grid", "slurmed", "--task", "push-mass", "--method", name, "--seed", "1", "--results", "undisturbed"]
        clone.run("python", "-m", "dima", "train", *options)
        ends = [clone.folder / results / f"slurmed/cells/push-mass/{name}/seed-1" for results in ("undisturbed", "results")]
        undisturbed, disturbed = (
            [
                {field: value for field, value in event.items() if field not in ("seq", "wall_seconds")}
                for event in read_events(end / "events.jsonl")
            ]
            for end in ends
        )
        assert undisturbed == disturbed
        weights = [(end / "checkpoint/000000008000/tensors.safetensors").read_bytes() for end in ends]
        assert weights[0] == weights[1]
    assert "sha256:" in (clone.folder / "results/slurmed/tables/final_returns.csv").read_text()
