"""Real cells in really built images, also under a real Slurm: the tracked definition files over a local root
file system."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from container_base import cached_base
from container_clone import CANARY_IN_URI, Clone, git, write_small_grids
from slurm_disturbance import SNAKEMAKE, Disturbance

from dima.config.grid import load_grid
from dima.record.events import read_events

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("apptainer", "mmdebstrap") if shutil.which(name) is None] + ["a root user"] * (
    os.getuid() != 0
)
PROVENANCE = {"commits", "dirty", "image", "wall_seconds"}
MAY_BE_INSIDE = {
    "HOME", "PATH", "PWD", "SHLVL", "TERM", "LANG", "LC_CTYPE", "_", "PS1", "PROMPT_COMMAND",
    "LD_LIBRARY_PATH", "PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "MPLCONFIGDIR",
    "XDG_CACHE_HOME",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES",
    "DIMA_MONGO_URI",
}  # fmt: skip

WHAT_IS_INSIDE = """
import json, os, sys
import dima

writable = [path for path in (".", "results", "/srv/dima", "/") if os.access(path, os.W_OK)]
inside = {"environ": dict(os.environ), "writable": writable}
print(json.dumps({**inside, "dima": dima.__file__, "python": sys.executable}))
"""


def evaluations(folder: Path) -> list[tuple]:
    return [
        (event["grid_step"], event["return"])
        for event in read_events(folder / "events.jsonl")
        if "grid_step" in event
    ]


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture(scope="module")
def native_quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """The small grid without Slurm and images, run in the background: returns its results once all of it is
    made."""
    folder = tmp_path_factory.mktemp("native")
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    write_small_grids(folder / "workflow/config")
    command = [
        Path(sys.executable).with_name("snakemake"),
        "--snakefile",
        ROOT / "Snakefile",
        "--cores",
        "1",
        "quick",
    ]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DIMA_")} | {
        "PYTHONPATH": str(ROOT)
    }
    with (folder / "printed").open("wb") as printed:
        snakemake = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=printed, stderr=subprocess.STDOUT
        )

    def finished() -> Path:
        assert snakemake.wait(timeout=900) == 0, (folder / "printed").read_text()
        return folder / "results/quick"

    yield finished
    snakemake.terminate()
    snakemake.wait()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, native_quick: Callable[[], Path]) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("images")
    clone = Clone(folder, cached_base("dima[training,mujoco,mongo,harl]", "pip"))
    clone.run("snakemake", "--cores", "1", "containers")
    yield clone
    shutil.rmtree(folder)  # pytest would keep a gigabyte


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(MISSING != [], reason=f"needs {' and '.join(MISSING)}"),
    pytest.mark.xdist_group("quick"),
]


def test_cells_run_in_images(clone: Clone, native_quick: Callable[[], Path]) -> None:
    commit = git(clone.folder, "rev-parse", "HEAD")
    built = (clone.folder / "containers/images.lock").read_text()
    lock = json.loads(built)
    images = {name: digest(clone.folder / f"containers/{name}.sif") for name in ("dima", "harl")}
    assert {name: entry["digest"] for name, entry in lock.items()} == images
    assert (
        "ok    packages" in (clone.folder / "results/logs/containers/dima.log").read_text()
    )  # %test ran the doctor
    assert "Nothing to be done" in clone.run("snakemake", "--cores", "1", "--dry-run", "containers")

    cells = {
        name: f"results/tiny/cells/push-mass/{method}/seed-1"
        for name, method in (("dima", "dima"), ("harl", "mappo"))
    }
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
    kept = [
        path
        for name in ("results", ".snakemake")
        for path in (clone.folder / name).rglob("*")
        if path.is_file()
    ]
    assert len(kept) > 20
    assert [
        path
        for path in [*kept, clone.folder / "containers/images.lock"]
        if CANARY_IN_URI.encode() in path.read_bytes()
    ] == []

    said = json.loads(clone.inside(WHAT_IS_INSIDE))
    assert {
        name for name in said["environ"] if not name.startswith(("APPTAINER_", "SINGULARITY_"))
    } <= MAY_BE_INSIDE
    assert {"SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES", "DIMA_MONGO_URI"} <= set(said["environ"])
    assert said["environ"]["OMP_NUM_THREADS"] == "1"
    assert said["writable"] == ["results"]
    assert said["dima"] == "/srv/dima/dima/__init__.py"
    assert said["python"] == "/usr/local/bin/python"

    outside = native_quick() / "cells/push-mass/dima/seed-1"
    assert evaluations(outside) == evaluations(clone.folder / cells["dima"]) != []

    lock["dima"]["digest"] = "sha256:" + "0" * 64
    (clone.folder / "containers/images.lock").write_text(json.dumps(lock))
    image = clone.inside("from dima.record.image import image_of_process; print(image_of_process())")
    assert image.strip() == f"{images['dima']} (unpinned)"
    (clone.folder / "containers/images.lock").write_text(built)


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
        return [
            {name: value for name, value in row.items() if name not in PROVENANCE}
            for row in csv.DictReader(stream)
        ]


def test_the_quick_grid_under_slurm_in_images_survives_signals_and_kills(
    clone: Clone, native_quick: Callable[[], Path]
) -> None:
    """Its end equals that of the undisturbed grid, which ran without Slurm and without images."""
    if (
        shutil.which("sinfo") is None
        or subprocess.run(["sinfo"], capture_output=True, timeout=60, check=False).returncode != 0
    ):
        pytest.skip("needs a running Slurm")
    profile = clone.folder / "workflow/profiles/slurm/config.yaml"
    text = profile.read_text(encoding="utf-8")
    assert "16000" in text
    profile.write_text(
        text.replace("16000", "1500"), encoding="utf-8"
    )  # megabytes: what a machine of two cores has
    environ = {
        name: value for name, value in clone.environ.items() if name not in ("SLURM_JOB_ID", "DIMA_MONGO_URI")
    }
    command = [
        sys.executable,
        "-c",
        SNAKEMAKE,
        "quick",
        "--profile",
        "slurm",
        "--latency-wait",
        "5",
        "--sdm",
        "apptainer",
    ]
    printed = clone.folder / "results/printed"
    with (
        printed.open("wb") as stream,
        subprocess.Popen(
            command, cwd=clone.folder, env=environ, stdout=stream, stderr=subprocess.STDOUT
        ) as snakemake,
        ThreadPoolExecutor() as pool,
    ):
        disturbances = {
            name: Disturbance(clone.folder, name, snakemake)
            for name in ("push-mass/dima", "push-mass/dima-joint", "halfcheetah-2x3/dima")
        }
        killed = pool.submit(disturbances["push-mass/dima"].stop_all_then_kill_one)
        others = [
            pool.submit(disturbances["push-mass/dima-joint"].cancel),
            pool.submit(disturbances["halfcheetah-2x3/dima"].kill_all),
        ]
        status = snakemake.wait()
        logs = "".join(
            path.read_text(errors="replace") for path in clone.folder.glob("results/quick/**/*.log")
        )
        assert status == 0, printed.read_text() + logs
        for done in others:
            done.result()
        alone, sibling = killed.result()
    assert starts(alone) == 3
    assert starts(sibling) in (
        2,
        3,
    )  # where Slurm tracks processes by their groups, the other seed goes on to its end alone
    for name in ("push-mass/dima-joint", "halfcheetah-2x3/dima"):
        assert [starts(cell) for cell in disturbances[name].cells] == [2, 2]

    undisturbed, disturbed = native_quick(), clone.folder / "results/quick"
    for key in load_grid("quick").cells:
        ends = [results / "cells" / key.folder for results in (undisturbed, disturbed)]
        assert recorded(ends[0]) == recorded(ends[1]) != []
        weights = [sorted((end / "checkpoint").glob("*/tensors.safetensors"))[-1] for end in ends]
        assert weights[0].parent.name == weights[1].parent.name
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert json.loads((ends[1] / "summary.json").read_text())["attempts"] == 1
    assert table(undisturbed) == table(disturbed) != []
    assert "sha256:" in (disturbed / "tables/final_returns.csv").read_text()
    made = [
        path.relative_to(disturbed)
        for pattern in ("figures/*", "cells/**/studies/*")
        for path in disturbed.glob(pattern)
    ]
    assert len(made) == 3 * 5 + 4
    assert [
        path for path in made if (undisturbed / path).read_bytes() != (disturbed / path).read_bytes()
    ] == []
