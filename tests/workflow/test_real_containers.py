"""Real cells in really built images, also under a real Slurm: the tracked definition files over a local root file system."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY_DIMA, TINY_MAPPO
from container_base import make_base

from dima.containers.environment import container_environment
from dima.grid import load_grid
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
PROVENANCE = {"commits", "dirty", "image", "wall_seconds"}
MAY_BE_INSIDE = {
    "HOME", "PATH", "PWD", "SHLVL", "TERM", "LANG", "LC_CTYPE", "_", "PS1", "PROMPT_COMMAND", "LD_LIBRARY_PATH",
    "PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR", "XDG_CACHE_HOME",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES",
    "DIMA_MONGO_URI", "DIMA_FINISHED_SINCE", "DIMA_SEEDS_BESIDE",
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
        arguments = f"bootstrap=localimage\nbase={base}\npackages=\nextras=training,mujoco,mongo\n"
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
    return [(event["grid_step"], event["return"]) for event in read_events(folder / "events.jsonl") if "grid_step" in event]


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("images")
    make_base(folder / "base", "dima[training,mujoco,mongo,harl]", "pip")
    (folder / "clone").mkdir()
    clone = Clone(folder / "clone", folder / "base")
    clone.run("snakemake", "--cores", "1", "containers")
    yield clone
    shutil.rmtree(folder)  # pytest would keep two gigabytes


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(MISSING != [], reason=f"needs {' and '.join(MISSING)}"),
    pytest.mark.xdist_group("quick"),
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


def squeue(job: str, form: str) -> str:
    """What Slurm says of the job, or nothing once it does not know it."""
    command = ["squeue", "-h", "-j", job, *form.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def read_bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


class Disturbance:
    """What befalls the two seeds of a task and method, which a Slurm job trains side by side, while a grid runs."""

    def __init__(self, folder: Path, name: str, snakemake: subprocess.Popen[bytes]) -> None:
        self.cells = [folder / f"results/quick/cells/{name}/seed-{seed}" for seed in (1, 2)]
        self.group = f"seeds-quick-{name.replace('/', '-')}"
        self.snakemake = snakemake

    def said(self, field: str) -> list[Any]:
        return [json.loads(read_bytes(cell / "status.json") or b"{}").get(field, 0) for cell in self.cells]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.snakemake.poll() is None, "the grid ended before all of it was done"
            time.sleep(0.05)

    def wait_for_steps(self, least: int) -> str:
        """Number of the job, once both seeds have taken so many steps."""
        self.wait_until(lambda: self.said("state") == ["running", "running"] and min(self.said("env_steps")) >= least)
        job, other = (json.loads((cell / "lock").read_text())["job"] for cell in self.cells)
        assert job == other
        assert self.group in squeue(job, "-o %k")
        return job

    def stop_all_then_kill_one(self) -> tuple[Path, Path]:
        """SIGTERM, as before a preemption: checkpoints, exit, requeue. Then one of the seeds is killed; returns it, and the other."""
        job = self.wait_for_steps(1400)
        assert {"cpu=2", "gres/gpu=1"} <= set(squeue(job, "-O tres:100").split(","))
        subprocess.run(["scancel", "--signal=TERM", job], check=True, timeout=60)
        self.wait_until(lambda: self.said("state") == ["interrupted", "interrupted"])
        stopped_at = self.said("env_steps")
        self.wait_until(lambda: squeue(job, "-o %T") == "PENDING")
        time.sleep(5)  # Slurm waits two minutes, so that word of the old start's end is not taken for the new one's
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True, timeout=60)
        self.wait_until(lambda: all(now >= then + 200 for now, then in zip(self.said("env_steps"), stopped_at, strict=True)))
        assert self.wait_for_steps(0) == job  # its own number
        (beside,) = [number for number, cell in enumerate(self.cells) if b"continuing" in read_bytes(cell / "beside.log")]
        os.kill(self.said("process")[1 - beside], signal.SIGKILL)  # the job's first process; this machine is the cluster
        return self.cells[1 - beside], self.cells[beside]

    def kill_all(self) -> None:
        """Every process of the job at once, as where a machine is lost."""
        job = self.wait_for_steps(2500)
        environs = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/environ")}
        for process in [process for process, path in environs.items() if f"SLURM_JOB_ID={job}".encode() in variables(path)]:
            with suppress(ProcessLookupError):  # it has ended with its parent
                os.kill(process, signal.SIGKILL)

    def cancel(self) -> None:
        """The job is cancelled, by somebody else: not the workflow, which tries it again."""
        subprocess.run(["scancel", self.wait_for_steps(1400)], check=True, timeout=60)


def variables(environ: Path) -> list[bytes]:
    """Those with which a process was started; none of one that has ended."""
    with suppress(OSError):
        return environ.read_bytes().split(b"\0")
    return []


def recorded(cell: Path) -> list[dict[str, Any]]:
    """The cell's events, but for the time that they took."""
    return [
        {name: value for name, value in event.items() if name not in ("seq", "wall_seconds")}
        for event in read_events(cell / "events.jsonl")
    ]


def starts(cell: Path) -> int:
    return len(json.loads((cell / "provenance.json").read_text())["starts"])


def table(results: Path) -> list[dict[str, str]]:
    """The rows of final returns, but for what they ran from and in, and how long that took."""
    with (results / "tables/final_returns.csv").open(encoding="utf-8") as stream:
        return [{name: value for name, value in row.items() if name not in PROVENANCE} for row in csv.DictReader(stream)]


@pytest.mark.timeout(2400)
def test_the_quick_grid_under_slurm_in_images_survives_signals_and_kills(clone: Clone, quick_grid: Path) -> None:
    """Its end equals that of the undisturbed grid, which ran without Slurm and without images."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("needs a running Slurm")
    profile = clone.folder / "workflow/profiles/slurm/config.yaml"
    text = profile.read_text(encoding="utf-8")
    assert "16000" in text
    profile.write_text(text.replace("16000", "1500"), encoding="utf-8")  # megabytes: what a machine of two cores has
    environ = {name: value for name, value in clone.environ.items() if name not in ("SLURM_JOB_ID", "DIMA_MONGO_URI")}
    polling = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2", "--latency-wait", "5"]
    program = Path(sys.executable).with_name("snakemake")
    command = [program, "quick", "--profile", "slurm", *polling, "--sdm", "apptainer"]
    printed = clone.folder / "results/printed"
    with (
        printed.open("wb") as stream,
        subprocess.Popen(command, cwd=clone.folder, env=environ, stdout=stream, stderr=subprocess.STDOUT) as snakemake,
        ThreadPoolExecutor() as pool,
    ):
        disturbances = {
            name: Disturbance(clone.folder, name, snakemake) for name in ("push-mass/dima", "push-mass/dima-joint", "halfcheetah-2x3/dima")
        }
        killed = pool.submit(disturbances["push-mass/dima"].stop_all_then_kill_one)
        others = [pool.submit(disturbances["push-mass/dima-joint"].cancel), pool.submit(disturbances["halfcheetah-2x3/dima"].kill_all)]
        status = snakemake.wait()
        logs = "".join(path.read_text(errors="replace") for path in clone.folder.glob("results/quick/**/*.log"))
        assert status == 0, printed.read_text() + logs
        for done in others:
            done.result()
        alone, beside = killed.result()
    assert starts(alone) == 3
    assert starts(beside) in (2, 3)  # where Slurm tracks processes by their groups, the other seed goes on to its end alone
    for name in ("push-mass/dima-joint", "halfcheetah-2x3/dima"):
        assert [starts(cell) for cell in disturbances[name].cells] == [2, 2]

    disturbed = clone.folder / "results/quick"
    for key in load_grid("quick").cells:
        ends = [results / "cells" / key.folder for results in (quick_grid, disturbed)]
        assert recorded(ends[0]) == recorded(ends[1]) != []
        weights = [sorted((end / "checkpoint").glob("*/tensors.safetensors"))[-1] for end in ends]
        assert weights[0].parent.name == weights[1].parent.name
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert json.loads((ends[1] / "summary.json").read_text())["attempts"] == 1
    assert table(quick_grid) == table(disturbed) != []
    assert "sha256:" in (disturbed / "tables/final_returns.csv").read_text()
    made = [path.relative_to(disturbed) for pattern in ("figures/*", "cells/**/studies/*") for path in disturbed.glob(pattern)]
    assert len(made) == 3 * 5 + 4
    assert [path for path in made if (quick_grid / path).read_bytes() != (disturbed / path).read_bytes()] == []
