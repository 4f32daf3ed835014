"""A job that Slurm asked to stop, and that stopped at a checkpoint, is requeued and continues.

Slurm requeues a preempted job only if it had to kill it; a job that ends in time counts as failed. Snakemake
(9.27) has no hook in the processes that Slurm starts, so this runs when such a process exits.
"""

import atexit
import os
import subprocess
from pathlib import Path

from dima.record.cell_state import read_status


def stopped_cells() -> list[str]:
    """Folders of this job's cells that a signal stopped since it started."""
    folders = [Path(job.output[0]).parent for job in jobs_of_process() if job.rule.name == "cell"]
    statuses = {str(folder): read_status(folder) for folder in folders}
    return [
        folder
        for folder, status in statuses.items()
        if status and status.state == "interrupted" and status.updated >= STARTED
    ]


def requeue() -> None:
    """Requeue this job, unless it is being cancelled or ran out of time."""
    job = os.environ["SLURM_JOB_ID"]
    cells = stopped_cells()
    if not cells:
        return
    state = subprocess.run(
        ["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, timeout=30, check=False
    )
    if state.stdout.strip() == "RUNNING":
        print(f"Stopped at a checkpoint: {', '.join(cells)}. Job {job} goes back into the queue.", flush=True)
        subprocess.run(["scontrol", "requeue", job], timeout=30, check=False)


if "SLURM_JOB_ID" in os.environ and not workflow.is_main_process:
    atexit.register(requeue)
