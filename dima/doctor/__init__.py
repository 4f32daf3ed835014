"""`dima doctor`: a line for each thing that cells and campaigns rest on, `ok` or what to do."""

from __future__ import annotations

from dima.doctor.finding import Finding
from dima.doctor.host import apptainer, database, disk, repository, slurm
from dima.doctor.installation import accelerator, packages, physics, python

INSTALLATION = (python, packages, accelerator, physics)  # what an image holds
HOST = (apptainer, slurm, database, disk, repository)


def examine(image_only: bool = False) -> bool:
    """Look at everything, print a line each, and return whether all that is essential is in order.

    Takes at most two minutes.

    Args:
        image_only: pass over what belongs to the machine: for the test of an image while it is built.
    """
    sound = True
    for look in INSTALLATION if image_only else (*INSTALLATION, *HOST):
        finding: Finding = look()
        sound = sound and finding.mark != "fix"
        print(f"{finding.mark:<5} {finding.subject:<10} {finding.text}", flush=True)
    return sound
