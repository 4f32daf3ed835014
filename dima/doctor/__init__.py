"""`dima doctor`: a line for each requirement of cells and campaigns, `ok` or what to do."""

from __future__ import annotations

from dima.doctor.finding import Finding
from dima.doctor.host import apptainer, database, disk, repository, slurm
from dima.doctor.installation import accelerator, packages, physics, python

INSTALLATION = (python, packages, accelerator, physics)  # also in an image
HOST = (apptainer, slurm, database, disk, repository)


def examine(image_only: bool = False) -> bool:
    """Check everything, print a line each, and return whether all essential checks passed.

    It takes at most two minutes.

    Args:
        image_only: skip checks of the machine, as when an image is built.
    """
    sound = True
    for look in INSTALLATION if image_only else (*INSTALLATION, *HOST):
        finding: Finding = look()
        sound = sound and finding.mark != "fix"
        print(f"{finding.mark:<5} {finding.subject:<10} {finding.text}", flush=True)
    return sound
