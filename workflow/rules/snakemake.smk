"""All uses of Snakemake beyond its documented interface, each with its reason; tested with Snakemake 9.27.

Snakemake reads the rules first: `workflow.dag_settings` and `workflow.dag` are set when it builds its jobs.
"""

import logging
import os
import sys
import time

STARTED = time.time()
FINISHED_AFTER = "DIMA_FINISHED_AFTER"  # from this process to those that Slurm starts, by `envvars`

os.environ.setdefault(FINISHED_AFTER, "0")


envvars:
    FINISHED_AFTER,


def finished_after() -> str:
    """`--finished-after` of cells: the start of this run if it forces cells (-f, -F or -R), else 0.

    Snakemake removes the summary of a cell before it starts its job. A job's reason does not say whether the
    user forced it: Snakemake also forces jobs that it did not see the end of.
    """
    if not workflow.is_main_process:
        return os.environ[FINISHED_AFTER]
    settings = workflow.dag_settings
    forced = {*settings.forcerun, *(settings.targets if settings.forcetargets else ())}
    cells = [name for name in map(str, forced) if name == "cell" or name.endswith("/summary.json")]
    return str(STARTED if settings.forceall or cells else 0)


def seeds_of_group() -> list[int]:
    """The seeds of the cells of this Slurm job; none for a single cell or outside of one.

    A Slurm job gets its cells as `--target-jobs`, and Snakemake would run them one after another.
    """
    jobs = workflow.dag_settings.target_jobs
    seeds = sorted({int(job.wildcards_dict["seed"]) for job in jobs if job.rulename == "cell"})
    return seeds if len(seeds) > 1 else []


def jobs_of_process() -> list:
    """All jobs of this process, which no documented interface lists."""
    return list(workflow.dag.jobs)


def jobs_to_run() -> list:
    """The jobs of this run, for the progress display and for what is made after the run.

    A logger plugin would see jobs as they start, not the plan, and every profile would have to name it.
    """
    return list(workflow.dag.needrun_jobs())


def jobs_at_once(cells: int) -> int:
    """How many cells run at once, of those that fit on the GPUs."""
    return min(workflow.cores, cells) if workflow.local_exec else workflow.nodes


def limit_resource(name: str, amount: int) -> None:
    """Set `--resources name=amount` unless the user did; the amount depends on the machine."""
    if name not in workflow.global_resources:
        workflow.register_resource(name, amount)


def quiet_snakemake() -> None:
    """Print Snakemake's warnings above the progress display, and leave its other lines to its log file."""
    for handler in logging.getLogger("snakemake.logging").handlers:
        if handler.name == "DefaultStreamHandler":
            handler.setLevel(logging.WARNING)
            handler.setStream(sys.stderr)


def report_pages() -> dict[str, object]:
    """The pages of our report in Snakemake's own: all of them in a ZIP file, the first in a single HTML file.

    Snakemake refuses one in place of the other, and sets which of them it writes after it has read the rules.
    """
    as_zip = any(word.endswith(".zip") for word in sys.argv)
    return {"htmlindex": "index.html"} if as_zip else {"patterns": ["{page,index}.html"]}
