"""Which images are built, when again, and how cells are called in them: the real rules over a stand-in for
Apptainer."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = "experiments: {final_returns: [{tasks: [push-mass], methods: [dima, mappo], seeds: [1]}]}\n"
CELLS = {
    name: f"results/quick/cells/push-mass/{method}/seed-1/summary.json"
    for name, method in (("dima", "dima"), ("harl", "mappo"))
}
APPTAINER = """#!/bin/sh
case "$1" in
--version) echo "apptainer version 1.4.5" ;;
build) for last; do image="$previous" previous="$last"; done; echo "an image" >"$image" ;;
exec) echo "$*" >>called; env >>surroundings; while [ $# -gt 3 ]; do shift; done; exec "$@" ;;
esac
"""


@pytest.fixture
def site(stage):
    """The stage with definition files, and a stand-in for Apptainer that runs cells in this Python."""
    stage.write("quick.yaml", QUICK)
    shutil.copytree(
        ROOT / "containers",
        stage.folder / "containers",
        ignore=shutil.ignore_patterns("*.sif*", "dima.arguments", "harl.arguments"),
    )
    (stage.folder / "bin").mkdir()
    (stage.folder / "bin/apptainer").write_text(APPTAINER, encoding="utf-8")
    (stage.folder / "bin/apptainer").chmod(0o755)
    stage.environment = {"PATH": f"{stage.folder / 'bin'}:{os.environ['PATH']}"}
    return stage


def run(site, *arguments: str, **environment: str) -> str:
    """What Snakemake said; it must succeed."""
    result = site.snakemake(*arguments, **environment)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.slow
def test_images_are_built_once_and_again_when_what_they_are_made_from_has_changed(site) -> None:
    run(site, "containers", "--cores", "1")
    assert set(json.loads((site.folder / "containers/images.lock").read_text())) == {"dima", "harl"}
    os.utime(site.folder / "containers/dima.def")
    assert "Nothing to be done" in run(site, "containers", "--cores", "1")
    (site.folder / "containers/harl.arguments").write_text("base=another.sif\n")
    assert site.planned("containers") == ["build_image", "containers"]
    (site.folder / "requirements.lock").write_text("torch==2.13.0\n")
    assert site.planned("containers") == ["build_image", "build_image", "containers"]


def test_a_cell_runs_in_the_image_of_its_engine_with_nothing_secret_on_the_command_line(site) -> None:
    run(site, "containers", "--cores", "1")
    host = {
        "DIMA_MONGO_URI": "mongodb://user:canary@host",
        "SLURM_JOB_ID": "7",
        "APPTAINERENV_PYTHONPATH": "/host",
        "SINGULARITYENV_A": "1",
    }
    said = run(site, *CELLS.values(), "--cores", "1", "--printshellcmds", "--sdm", "apptainer", **host)
    calls = (site.folder / "called").read_text().splitlines()
    assert sorted(call.split(" bash -c ")[0].split()[-1] for call in calls) == [
        "containers/dima.sif",
        "containers/harl.sif",
    ]
    surroundings = set((site.folder / "surroundings").read_text().splitlines())
    folder, uri = site.folder, host["DIMA_MONGO_URI"]
    assert {
        "APPTAINER_CLEANENV=1", "APPTAINER_NO_HOME=1", "APPTAINERENV_SLURM_JOB_ID=7",
        f"APPTAINERENV_DIMA_MONGO_URI={uri}",
        f"APPTAINER_BIND={folder}:{folder}:ro,{folder}/results:{folder}/results",
    } <= surroundings  # fmt: skip
    assert not [
        line for line in surroundings if line.startswith(("APPTAINERENV_PYTHONPATH", "SINGULARITYENV_"))
    ]
    assert "canary" not in said + "".join(calls)


def test_a_cell_of_a_checkout_runs_outside(site) -> None:
    site.write(
        "quick.yaml", QUICK.replace("push-mass", "halfcheetah-2x3").replace("dima, mappo", "happo-checkout")
    )
    cell = "results/quick/cells/halfcheetah-2x3/happo-checkout/seed-1/summary.json"
    run(site, cell, "--cores", "1", "--sdm", "apptainer")
    assert (site.folder / cell).exists()
    assert not (site.folder / "called").exists()


def test_without_images_nothing_is_asked_of_apptainer(site) -> None:
    run(site, *CELLS.values(), "--cores", "1", APPTAINERENV_KEPT="1")
    assert not (site.folder / "called").exists()


@pytest.mark.slow
def test_images_switched_on_or_off_make_no_finished_cell_again(site) -> None:
    run(site, *CELLS.values(), "--profile", "local", "--cores", "1")
    assert site.planned(*CELLS.values(), "--profile", "local", "--sdm", "apptainer") == []


@pytest.mark.slow
def test_a_cell_whose_image_is_missing_or_stale_is_refused_with_what_to_do(site) -> None:
    def refusal() -> str:
        result = site.snakemake(CELLS["dima"], "--cores", "1", "--sdm", "apptainer")
        assert result.returncode != 0
        assert not (site.folder / "results/quick").exists()
        return result.stderr.splitlines()[-1]

    build = "build it with `snakemake --cores 1 --force containers/dima.sif`."
    assert refusal() == f"Nothing was run: There is no containers/dima.sif to run cells in: {build}"
    run(site, "containers", "--cores", "1")
    (site.folder / "requirements.lock").write_text("torch==2.13.0\n")
    sentence = "containers/dima.sif was not built from these sources, or images.lock does not say so"
    assert refusal() == f"Nothing was run: {sentence}: {build}"


def test_an_image_without_a_definition_is_refused_with_the_choices(site) -> None:
    result = site.snakemake("containers/dimma.sif", "--cores", "1")
    assert result.returncode != 0
    assert (
        result.stderr.splitlines()[-1] == "Unknown image 'dimma'; choose from dima, harl, isaacgym, mongodb."
    )
