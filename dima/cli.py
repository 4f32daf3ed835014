"""`dima`: the command line. `python -m dima` is the same."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dima.analysis.paths import PARTS, STUDIES, lead_cell
from dima.analysis.records.files import FileRecords, Records
from dima.cards import take_card
from dima.config import CellConfig
from dima.errors import CrashedError, DivergedError, LockedError, StoppedError, UserError
from dima.grid import CellKey, Grid, load_grid
from dima.options import Commands, add_cell_command, add_command, add_place, add_results, add_source, count, seed, size
from dima.places import add_archive_commands, records_of, results_of
from dima.record.database import database_address, required_address
from dima.seeds_beside import SEEDS_BESIDE, trained_beside
from dima.studied import FRAMES

BAD_INPUT, DIVERGED, DISK_FULL, CRASHED, LOCKED, STOPPED, INTERRUPTED = 2, 3, 4, 5, 75, 99, 130
FINISHED_SINCE = "DIMA_FINISHED_SINCE"
"""Environment variable that the Snakefile sets: a run that finished since then (Unix seconds) is what it asks for, also without its
summary. 0 unless cells are forced: Snakemake removes the summary of what finished while nobody watched. See `dima.cell.is_finished`."""
TRAINING = ("torch", "sacred", "safetensors", "vector_quantize_pytorch")
"""What the extra `training` brings; tables, figures and the report do without."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0: done, 2: bad input, 3: diverged, 4: the disk is full, 5: a simulator or a checkout's program crashed, 75: locked,
    99: stopped at a checkpoint as asked, 130: interrupted, 1: anything else.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except UserError as error:
        return _say(error, BAD_INPUT)
    except DivergedError as error:
        return _say(error, DIVERGED)
    except CrashedError as error:
        return _say(error, CRASHED)
    except LockedError as error:
        return _say(error, LOCKED)
    except StoppedError as error:
        return _say(error, STOPPED)
    except ModuleNotFoundError as error:
        if error.name not in TRAINING:
            raise
        return _say(f"This command needs {error.name}, which is not installed: pip install -e '.[training]'.", BAD_INPUT)
    except KeyboardInterrupt:
        return _say(f"Interrupted; {options.interrupted}.", INTERRUPTED)
    except OSError as error:
        status = DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else 1
        return _say(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", status)


def _say(message: object, status: int) -> int:
    print(f"dima: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dima", description="Train and evaluate multi-agent methods; write tables, figures and reports of the results."
    )
    parser.set_defaults(interrupted="the same command continues")
    commands = parser.add_subparsers(required=True, metavar="command")
    train = add_cell_command(commands, "train", "train a cell (resumes if interrupted)", _train)
    add_results(train, "--results")
    interval = "write a checkpoint at this interval (0: every epoch; default: %(default)s)"
    train.add_argument("--checkpoint-seconds", type=float, default=300.0, metavar="SECONDS", help=interval)
    train.add_argument("--wait", action="store_true", help="wait if the cell is already running")
    train.add_argument("--from-scratch", action="store_true", help="start a new attempt; keep the old log")
    for name, text, function in (
        ("tables", "write the grid's tables", _tables),
        ("figures", "write the grid's figures", _figures),
        ("report", "write the grid's HTML report", _report),
    ):
        command = add_command(commands, name, f"{text} from saved results", function)
        add_source(command)
        if name != "report":
            command.add_argument("--of", choices=PARTS, help="write only this group (default: all)")
    status = add_command(commands, "status", "show the progress of every cell", _status)
    status.add_argument("--watch", action="store_true", help="refresh until interrupted")
    add_place(status)
    status.set_defaults(interrupted="the cells go on")
    plan = add_command(commands, "plan", "show what would run, why, and its cost", _plan)
    add_place(plan, database=False)
    plan.set_defaults(interrupted="nothing was written")
    add_archive_commands(commands)
    text = "update MongoDB (DIMA_MONGO_URI) from the recorded files"
    synchronize = commands.add_parser("sync", help=text, description=f"{text[0].upper()}{text[1:]}.")
    synchronize.add_argument("--grid", default="all", help="update only this grid (default: %(default)s)")
    add_results(synchronize, "--from")
    synchronize.set_defaults(command=_sync)
    _add_studies(commands)
    _add_render(commands)
    tasks = commands.add_parser("tasks", help="list the tasks", description="List the tasks of this installation.")
    tasks.add_argument("--markdown", action="store_true", help="print the README's table")
    tasks.set_defaults(command=_tasks)

    methods = commands.add_parser("methods", help="list the methods", description="List the methods in workflow/config/methods.")
    methods.add_argument("--markdown", action="store_true", help="print the README's table")
    methods.set_defaults(command=_methods)
    _add_machine(commands)
    return parser


def _add_machine(commands: Commands) -> None:
    description = "Check this machine and installation. Exit status 1: something essential is broken."
    doctor = commands.add_parser("doctor", help="check this machine and installation", description=description)
    doctor.add_argument("--image", action="store_true", help="check only what an image contains")
    doctor.set_defaults(command=_doctor)
    text = "build a container image for cells"
    build = commands.add_parser("build-image", help=text, description=f"{text[0].upper()}{text[1:]}.")
    build.add_argument("name", metavar="NAME", help="build containers/NAME.def")
    build.set_defaults(command=_build_image, interrupted="no image was written")


def _add_studies(commands: Commands) -> None:
    study = add_cell_command(commands, "study", "evaluate the world model of a trained cell", _study)
    study.add_argument("name", metavar="NAME", choices=(*STUDIES, FRAMES), help="run this study (%(choices)s)")
    study.add_argument("--segments", type=count, default=100, help="compare this many episode segments (default: %(default)s)")
    add_results(study, "--from")
    study.set_defaults(interrupted="no study was written")
    studies = add_command(commands, "studies", "write tables and figures of finished studies", _studies)
    studies.add_argument("--task", help="write only this task (default: all)")
    studies.add_argument("--study", choices=STUDIES, help="write only this study (default: all)")
    add_results(studies, "--from")


def _add_render(commands: Commands) -> None:
    text = "film a policy on a task as MP4"
    render = commands.add_parser("render", help=text, description=f"{text[0].upper()}{text[1:]}.")
    render.add_argument("task", metavar="TASK", help="film this task")
    render.add_argument(
        "--policy",
        default="random",
        metavar="{random,scripted,FOLDER}",
        help="use this policy (FOLDER: the newest checkpoint of a cell, deterministic; default: %(default)s)",
    )
    render.add_argument("--steps", type=count, help="film this many steps (default: one episode)")
    render.add_argument("--seed", type=seed, default=0, help="seed the environment and random actions (default: %(default)s)")
    render.add_argument("--preset", help="use this preset (default: the trained policy's, else the first in `dima tasks`)")
    render.add_argument("--output", type=Path, metavar="FILE.mp4", help="write this file (default: TASK.mp4)")
    render.add_argument("-y", "--overwrite", action="store_true", help="replace an existing file")
    render.add_argument("--size", type=size, default=(480, 360), metavar="WIDTHxHEIGHT", help="set the size in pixels (default: 480x360)")
    render.set_defaults(command=_render, interrupted="no film was written")


def _train(options: argparse.Namespace) -> None:
    config, folder = _cell(options)
    database_address()  # refuses before anything is written
    device = _prepared_device(options, config)
    if config.engine == "checkout":
        options.interrupted = "the same command begins again"

    from dima.cell import Execution, run_cell
    from dima.stop_signal import StopSignal

    stop = StopSignal()
    if config.engine != "checkout":  # its program has no checkpoints: it is interrupted
        stop.listen()
    finished_since = float(os.environ.get(FINISHED_SINCE, "inf"))
    execution = Execution(device, options.checkpoint_seconds, options.from_scratch, options.wait, finished_since, stop)
    with _environments_errors(), trained_beside(_unfinished_beside(options, finished_since), STOPPED):
        run_cell(config, folder, execution)


def _unfinished_beside(options: argparse.Namespace, finished_since: float) -> dict[int, Path]:
    """The folders of the cells that this job is to train beside the one of the options, by seed."""
    from dima.cell import is_finished

    others = [seed(text) for text in os.environ.get(SEEDS_BESIDE, "").split(",") if text and seed(text) != options.seed]
    cells = {other: _cell(argparse.Namespace(**{**vars(options), "seed": other})) for other in others}
    return {other: folder for other, (config, folder) in cells.items() if not is_finished(config, folder, finished_since)}


def _study(options: argparse.Namespace) -> None:
    config, folder = _cell(options)
    device = _prepared_device(options, config)
    from dima.studies.run import run_study

    with _environments_errors():
        print(run_study(options.name, config, folder, options.segments, device, _lead(options) if options.name == FRAMES else None))


def _lead(options: argparse.Namespace) -> tuple[CellConfig, Path]:
    """The cell whose policy acts in the frames of the cell that the options name."""
    key = lead_cell(load_grid(options.grid), CellKey(options.task, options.method, options.seed))
    return _cell(argparse.Namespace(**{**vars(options), **key._asdict()}))


def _cell(options: argparse.Namespace) -> tuple[CellConfig, Path]:
    """The configuration and the folder of the cell that the options name."""
    key = CellKey(options.task, options.method, options.seed)
    return load_grid(options.grid).resolve(key), options.results / options.grid / "cells" / key.folder


def _prepared_device(options: argparse.Namespace, config: CellConfig):  # noqa: ANN202 - as `_device`
    """The device on which the cell is to be computed, in a process that is ready for it."""
    if options.threads < 1:
        raise UserError(f"--threads must be at least 1, not {options.threads}.")
    if options.device != "cpu":
        take_card(load_grid(options.grid), CellKey(options.task, options.method, options.seed))
    import torch

    from dima.compiled import keep_kernels
    from dima.compute import prepare_process

    device = _device(options.device)
    torch.set_num_threads(options.threads)
    prepare_process(config.compute, device)
    keep_kernels(options.results, config.compute, device)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return device


@contextmanager
def _environments_errors() -> Iterator[None]:
    """What the environments refuse is the user's to put right."""
    import envs

    try:
        yield
    except envs.EnvironmentsError as error:
        raise UserError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error


def _device(name: str):  # noqa: ANN202 - torch is imported late: `dima tables` runs without it
    import torch

    from dima.containers.environment import GPU
    from dima.gpu import why_no_gpu

    reason = why_no_gpu() if name != "cpu" else None
    if name == "cuda" and reason:
        raise UserError(f"--device cuda was asked for, but {reason}; choose cpu or auto.")
    if reason and GPU.exists():
        print(f"This machine's GPU is not used: {reason}.", flush=True)
    return torch.device("cpu" if reason or name == "cpu" else "cuda")


def _render(options: argparse.Namespace) -> None:
    from dima.render import Order, render

    output = options.output or Path(f"{options.task}.mp4")
    arguments = (options.task, options.policy, options.preset, options.seed, options.steps, options.size, output, options.overwrite)
    with _environments_errors():
        print(render(Order(*arguments)))


def _tasks(options: argparse.Namespace) -> None:
    from envs.task_table import markdown, plain_text

    print(markdown() if options.markdown else plain_text())


def _methods(options: argparse.Namespace) -> None:
    from dima.method_table import markdown, plain_text

    print(markdown() if options.markdown else plain_text())


def _doctor(options: argparse.Namespace) -> int:
    from dima.doctor import examine

    return 0 if examine(options.image) else 1


def _build_image(options: argparse.Namespace) -> None:
    from dima.containers.build import build_image

    print(build_image(options.name))


def _tables(options: argparse.Namespace) -> None:
    from dima.analysis.tables.write import write_tables

    _write(options, partial(write_tables, of=options.of))


def _figures(options: argparse.Namespace) -> None:
    from dima.analysis.figures.write import write_figures

    _write(options, partial(write_figures, of=options.of))


def _report(options: argparse.Namespace) -> None:
    from dima.analysis.report.write import write_report

    _write(options, write_report)


def _write(options: argparse.Namespace, write: Callable[[Grid, Path, dict[CellKey, str], Records], list[Path]]) -> None:
    """Write the tables, figures or report of a grid from wherever the records are."""
    grid = load_grid(options.grid)
    records = records_of(options, grid)
    results = options.results or Path(options.sources[0] if options.sources and isinstance(records, FileRecords) else "results")
    for path in write(grid, results, _digests(grid), records):
        print(path)


def _status(options: argparse.Namespace) -> None:
    from dima.campaign.cell_status import show

    grid = load_grid(options.grid)
    show(grid, records_of(options, grid), watch=options.watch)


def _plan(options: argparse.Namespace) -> None:
    from dima.campaign.plan import make_plan
    from dima.campaign.plan_text import show

    grid = load_grid(options.grid)
    show(make_plan(grid, results_of(options, grid), records_of(options, grid)))


def _sync(options: argparse.Namespace) -> None:
    place = required_address()
    from dima.record.sync import sync

    for done in sync(place, options.results, None if options.grid == "all" else options.grid):
        print(f"{done.grid}: {done.runs} runs, {done.metric_documents} metric documents")


def _studies(options: argparse.Namespace) -> None:
    from dima.analysis.figures.write_studies import write_studies

    tasks, studies = ([name] if name else [] for name in (options.task, options.study))
    for path in write_studies(load_grid(options.grid), options.results, tasks, studies):
        print(path)


def _digests(grid: Grid) -> dict[CellKey, str]:
    """What a record must have been computed from to count as this grid's."""
    methods = {name for name in {key.method for key in grid.cells} if grid.has_method(name)}
    return {key: grid.resolve(key).digest() for key in grid.cells if key.method in methods}
