"""Checks of the machine: containers, queue, database, disk, commit."""

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
from dima.words import byte_size

SECONDS = 15  # without its controller, every Slurm command blocks for nine
LEAST_JOB_AGE = 120  # seconds; below, the plugin with the profile's intervals asks sacct


def apptainer() -> Finding:
    """Apptainer, tried with the image for cells if it is built."""
    if shutil.which("apptainer") is None:
        return _note("Apptainer", "not installed: cells run in this Python; with it, they can run in images")
    version = ask("apptainer", "version", seconds=SECONDS)
    if version.fault:
        return _note("Apptainer", f"is installed but does not start ({version.fault}): install it again")
    image = image_path("dima")
    if not image.exists():
        build = "snakemake --cores 1 containers"
        return _note("Apptainer", f"{version.output}; no image to try it with yet: {build}")
    run = ask("apptainer", "exec", "--cleanenv", "--no-home", str(image), "true", seconds=60)
    if run.fault:
        fault = f"cannot run {image} ({run.fault}): ask whoever installed it"
        return _note("Apptainer", f"{version.output} {fault}")
    return Finding("ok", "Apptainer", f"{version.output}, and runs {image}")


def _note(subject: str, text: str) -> Finding:
    return Finding("note", subject, text)


def slurm() -> Finding:
    """The queue, and how long it remembers ended jobs, which Snakemake needs."""
    if shutil.which("sinfo") is None:
        return _note("Slurm", "not on this machine: use the profile local")
    partitions = ask("sinfo", "--noheader", "--format=%P", seconds=SECONDS)
    if partitions.fault:
        question = "is the controller up, and this a login node?"
        return _note("Slurm", f"sinfo says: {partitions.fault}; {question}")
    names = ", ".join(partitions.output.split()) or "none"
    configuration = ask("scontrol", "show", "config", seconds=SECONDS)
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", configuration.output, re.MULTILINE)
    if age is None:
        fault = configuration.fault or "no MinJobAge"
        return _note("Slurm", f"partitions {names}; scontrol show config says: {fault}")
    if int(age[1]) < LEAST_JOB_AGE:
        forgets = f"squeue forgets a job after {age[1]} s (MinJobAge), so Snakemake asks sacct"
        waits = "and waits forever for a job cancelled by hand: then restart Snakemake"
        return _note("Slurm", f"partitions {names}; {forgets}, {waits}")
    return Finding("ok", "Slurm", f"partitions {names}; squeue remembers ended jobs for {age[1]} s")


def database() -> Finding:
    """The server that the environment names, with the connection that cells use."""
    try:
        place = database_address()
        if place is None:
            return _note("MongoDB", f"{URI} is not set: records are files only, which is enough")
        with database_errors(place.name):
            connect(place).list_collection_names()  # a ping needs no password
    except UserError as error:
        return _note("MongoDB", str(error))
    return Finding("ok", "MongoDB", f"the server of {place.name} answers")


def disk(folder: Path = Path("results")) -> Finding:
    """Free space and write access of the results folder."""
    place = folder if folder.exists() else Path()
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        remedy = "change its rights or work elsewhere"
        return Finding("fix", "disk", f"{place.absolute()} cannot be written to: {remedy}")
    if free < 1e9:
        return Finding("fix", "disk", f"{byte_size(free)} are free for {folder}: free at least 1 GB")
    return Finding("ok", "disk", f"{byte_size(free)} are free for {folder}")


def repository() -> Finding:
    """The commit that records would contain."""
    commit, dirty = commit_of(Path())
    if commit is None:
        return _note("git", "no commit found, records would have none: use a clone, with git installed")
    if dirty:
        fault = "but tracked files differ from it, and records will say so: commit them"
        return _note("git", f"{commit[:12]}, {fault}")
    return Finding("ok", "git", commit[:12])
