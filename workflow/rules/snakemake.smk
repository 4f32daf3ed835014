"""Everything that these rules ask of Snakemake beyond its documented interface, each with the reason; tested with Snakemake 9.27.

Rules are read before Snakemake knows what it was asked for: `workflow.dag_settings` and `workflow.dag` are there once it builds its jobs.
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
    """`--finished-after` of a cell: when this run started if it forces cells (-f, -F or -R), else 0.

    Snakemake removes the summary of a cell before it starts its job. The reason of a job does not tell whether it was forced: Snakemake also
    calls forced what it did not see the end of.
    """
    if not workflow.is_main_process:
        return os.environ[FINISHED_AFTER]
    settings = workflow.dag_settings
    forced = {*settings.forcerun, *(settings.targets if settings.forcetargets else ())}
    cells = [name for name in map(str, forced) if name == "cell" or name.endswith("/summary.json")]
    return str(STARTED if settings.forceall or cells else 0)


def seeds_of_group() -> list[int]:
    """The seeds of the group that this process runs; none where it runs one cell, or a workflow.

    A Slurm job gets its cells as `--target-jobs`. Snakemake would run them one after another, on one processor each.
    """
    jobs = workflow.dag_settings.target_jobs
    seeds = sorted({int(job.wildcards_dict["seed"]) for job in jobs if job.rulename == "cell"})
    return seeds if len(seeds) > 1 else []


def jobs_of_process() -> list:
    """All jobs of this process, which no documented interface lists."""
    return list(workflow.dag.jobs)


def jobs_to_run() -> list:
    """The jobs that this run will start, for the progress display and what is made after the run.

    A logger plugin would be given jobs as they start, not what is planned, and would have to be installed and named in every profile.
    """
    return list(workflow.dag.needrun_jobs())


def jobs_at_once(cells: int) -> int:
    """How many cells run at once, of those that the GPUs hold together."""
    return min(workflow.cores, cells) if workflow.local_exec else workflow.nodes


def limit_resource(name: str, amount: int) -> None:
    """As `--resources name=amount`, unless that was given: how much there is of it is only known here."""
    if name not in workflow.global_resources:
        workflow.register_resource(name, amount)


def quiet_snakemake() -> None:
    """Leave Snakemake's own lines below a warning to its log file, and write the others below the progress display."""
    for handler in logging.getLogger("snakemake.logging").handlers:
        if handler.name == "DefaultStreamHandler":
            handler.setLevel(logging.WARNING)
            handler.setStream(sys.stderr)


def report_pages() -> dict[str, object]:
    """What Snakemake's own report takes of the folder of ours: all pages into a ZIP file, the first one into a single HTML file.

    It refuses the one in place of the other, and says which it writes only after the rules are read.
    """
    as_zip = any(word.endswith(".zip") for word in sys.argv)
    return {"htmlindex": "index.html"} if as_zip else {"patterns": ["{page,index}.html"]}
