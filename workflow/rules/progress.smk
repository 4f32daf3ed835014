"""What a run prints: refusals before it starts, progress, tables at its end, and the ends of failed logs."""

import os
import subprocess
import sys
from pathlib import Path

import envs
from dima.campaign.progress import PlannedCell, Progress

PROGRESS = Progress()
JOBS = []  # of this run, known when it starts


def refuse_missing(keys: list[CellKey]) -> None:
    """Exit with one sentence if one of the cells needs a task or a method that does not exist yet."""
    methods = sorted(
        {key.method for grid in GRIDS.values() for key in grid.cells if grid.has_method(key.method)}
    )
    missing_tasks = sorted({key.task for key in keys} - set(envs.TASKS))
    missing_methods = sorted({key.method for key in keys} - set(methods))
    missing = [
        f"no {what} {', '.join(names)}"
        for what, names in (("task", missing_tasks), ("method", missing_methods))
        if names
    ]
    if missing:
        sys.exit(
            f"Nothing was run: there is {' and '.join(missing)} yet;"
            f" the tasks are {', '.join(sorted(envs.TASKS))}, the methods {', '.join(methods)}."
        )


def planned(job) -> PlannedCell:
    """A cell's job for the progress display."""
    key = key_of(job.wildcards)
    return PlannedCell(
        job.wildcards.grid,
        key,
        Path(job.output[0]).parent,
        GRIDS[job.wildcards.grid].task(key.task).env_steps,
    )


def made_by_rules() -> list[str]:
    """The tables, figures and reports among this run's jobs."""
    made = ("_tables", "_prediction_error", "_figures", "_report", "_over_seeds")
    return [path for job in JOBS if job.rule.name.endswith(made) for path in job.output]


def made_again() -> list[str]:
    """Tables, figures and reports made again after a run that was asked for cells or studies alone.

    Snakemake makes what a target needs, not what needs it: a cell trained again by its name would leave old
    tables.
    """
    paths = []
    for name in sorted({job.wildcards.grid for job in JOBS if job.rule.name in ("cell", "study", "frames")}):
        made = {job.rule.name for job in JOBS if job.wildcards.get("grid") == name}
        for of, rest in (
            ("returns", "cell" in made),
            ("world-models", not made.isdisjoint(("study", "frames"))),
        ):
            for command, files in (("tables", table_files(name, of)), ("figures", figure_files(name, of))):
                if rest and assembled(name, files, command, "--of", of):
                    paths += files
        if assembled(name, report_files(name), "report"):
            paths += report_files(name)
    return paths


def assembled(grid_name: str, files: list[str], *command: str) -> bool:
    """Make existing files again that no job of this run made; returns whether it did."""
    if not files or set(files) & set(made_by_rules()) or not all(map(os.path.exists, files)):
        return False
    subprocess.run(
        [sys.executable, "-m", "dima", command[0], "--grid", grid_name, *command[1:]],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return True


def report_without_studies() -> None:
    """Make the reports of this run without the studies that failed."""
    for name, grid in GRIDS.items():
        (folder,) = report_files(name)
        page = Path(folder, "index.html")
        made = page.exists() and page.stat().st_mtime >= STARTED
        if folder in made_by_rules() and not made and all(map(os.path.exists, summaries(grid))):
            command = [sys.executable, "-m", "dima", "report", "--grid", name]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                print(f"Report: {page}, without what failed")


def print_results() -> None:
    """Print the tables of final returns of this run, and the paths of its figures and reports."""
    made = [Path(path) for path in made_by_rules() + made_again()]
    for path in made:
        if path.name == "final_returns.md":
            print(path.read_text(encoding="utf-8"))
    for path in made:
        if path.suffix == ".png":
            print(f"Figure: {path}")
    for path in made:
        if path.name == "report":
            print(f"Report: {path / 'index.html'}")


def print_ends_of_logs() -> None:
    """Print the last lines of the logs of jobs that did not make their output."""
    for job in JOBS:
        for log in map(Path, job.log):
            started = log.exists() and log.stat().st_mtime >= STARTED
            if started and not all(Path(path).exists() for path in job.output):
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
                print(f"The end of {log}:", *lines, sep="\n  ", file=sys.stderr)


onstart:
    JOBS.extend(jobs_to_run())
    cells = [job for job in JOBS if job.rule.name == "cell"]
    refuse_missing([key_of(job.wildcards) for job in cells])
    refuse_unbuilt(JOBS)
    os.environ[FINISHED_AFTER] = finished_after()
    say_who_shares(cells)
    PROGRESS.start([planned(job) for job in cells], jobs_at_once(cells_at_once(cells)))
    quiet_snakemake()


onsuccess:
    PROGRESS.stop()
    print_results()


onerror:
    PROGRESS.stop()
    report_without_studies()
    print_ends_of_logs()
