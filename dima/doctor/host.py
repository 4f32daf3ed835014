"""What the machine offers a campaign: containers, a queue, a database, room on the disk, a commit to name."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from dima.containers.recipe import image_path
from dima.doctor.finding import Finding, ask
from dima.errors import UserError
from dima.record.mongo.database import URI, connect, database_address, database_errors
from dima.record.provenance import commit_of

SECONDS = 15  # with its controller down, every Slurm command blocks for nine
LEAST_JOB_AGE = 120  # seconds; with the profile's intervals the plugin asks sacct below that
GIGABYTE = 1e9


def apptainer() -> Finding:
    """Apptainer, tried with the image for cells once that is built."""
    if shutil.which("apptainer") is None:
        return Finding(
            "note", "Apptainer", "not installed: cells run in this Python; with it, they can run in images"
        )
    version = ask("apptainer", "version", seconds=SECONDS)
    if version.fault:
        return Finding(
            "note", "Apptainer", f"is installed but does not start ({version.fault}): install it again"
        )
    image = image_path("dima")
    if not image.exists():
        return Finding(
            "note",
            "Apptainer",
            f"{version.output}; no image to try it with yet: snakemake --cores 1 containers",
        )
    run = ask("apptainer", "exec", "--cleanenv", "--no-home", str(image), "true", seconds=60)
    if run.fault:
        return Finding(
            "note",
            "Apptainer",
            f"{version.output} cannot run {image} ({run.fault}): ask whoever installed it",
        )
    return Finding("ok", "Apptainer", f"{version.output}, and runs {image}")


def slurm() -> Finding:
    """The queue, and for how long it tells what became of a job, by which Snakemake learns that."""
    if shutil.which("sinfo") is None:
        return Finding("note", "Slurm", "not on this machine: use the profile local")
    partitions = ask("sinfo", "--noheader", "--format=%P", seconds=SECONDS)
    if partitions.fault:
        return Finding(
            "note", "Slurm", f"sinfo says: {partitions.fault}; is the controller up, and this a login node?"
        )
    names = ", ".join(partitions.output.split()) or "none"
    configuration = ask("scontrol", "show", "config", seconds=SECONDS)
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", configuration.output, re.MULTILINE)
    if age is None:
        return Finding(
            "note",
            "Slurm",
            f"partitions {names}; scontrol show config says: {configuration.fault or 'no MinJobAge'}",
        )
    if int(age[1]) < LEAST_JOB_AGE:
        forgets = f"squeue forgets a job after {age[1]} s (MinJobAge), so Snakemake asks sacct"
        waits = "and waits for ever for a job that was cancelled by hand: start it again then"
        return Finding("note", "Slurm", f"partitions {names}; {forgets}, {waits}")
    return Finding("ok", "Slurm", f"partitions {names}; squeue tells the end of a job for {age[1]} s")


def database() -> Finding:
    """The server that the environment names, asked as cells ask it."""
    try:
        place = database_address()
        if place is None:
            return Finding("note", "MongoDB", f"{URI} is not set: records are files alone, which is enough")
        with database_errors(place.name):
            connect(place).list_collection_names()  # a ping would ask for no password
    except UserError as error:
        return Finding("note", "MongoDB", str(error))
    return Finding("ok", "MongoDB", f"the server of {place.name} answers")


def disk(folder: Path = Path("results")) -> Finding:
    """Room where results go, and whether they may be written there."""
    place = folder if folder.exists() else Path()
    free = shutil.disk_usage(place).free / GIGABYTE
    if not os.access(place, os.W_OK):
        return Finding(
            "fix", "disk", f"{place.absolute()} cannot be written to: change its rights or work elsewhere"
        )
    if free < 1:
        return Finding("fix", "disk", f"{free:.1f} GB are free for {folder}: make room")
    return Finding("ok", "disk", f"{free:.0f} GB are free for {folder}")


def repository() -> Finding:
    """The commit that records would name."""
    commit, dirty = commit_of(Path())
    if commit is None:
        return Finding(
            "note",
            "git",
            "no commit can be read here: records would name none; run this in a clone, with git installed",
        )
    if dirty:
        return Finding(
            "note",
            "git",
            f"{commit[:12]}, but tracked files differ from it, which every record will say: commit them",
        )
    return Finding("ok", "git", commit[:12])
