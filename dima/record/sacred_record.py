"""Sacred's copy of a run: configuration, scalars and outcome, in files and, where a database is named, in
MongoDB too.

Never the only copy, never a reason to stop.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from dima.record.mongo.database import database_address

Result = TypeVar("Result")
Metrics = Callable[[str, float, int], None]
"""Called with name, value and environment steps."""


def recorded(name: str, config: Mapping[str, Any], folder: Path, run: Callable[[Metrics], Result]) -> Result:
    """Call `run` inside a Sacred run below `folder`'s `sacred`, numbered 1, 2, ... from one process of the
    cell to the next.

    Args:
        name: of the Sacred experiment.
        config: the resolved configuration of the cell.
        folder: of the cell.
        run: receives the function that logs a scalar.

    Raises:
        UserError: a database is named that cannot be one (see `database_address`); before anything is run.
    """
    experiment = _experiment(name, config, folder)
    results: list[Result] = []

    @experiment.main
    def main(_run: Any) -> None:
        results.append(run(lambda metric, value, step: _run.log_scalar(metric, value, step)))

    experiment.run(options={"--capture": "no"})
    return results[0]


def _experiment(name: str, config: Mapping[str, Any], folder: Path) -> Any:
    with warnings.catch_warnings():  # Sacred 0.8 imports pkg_resources, which says that it is deprecated
        warnings.simplefilter("ignore")
        from sacred import Experiment
        from sacred.observers import FileStorageObserver
    experiment = Experiment(name, base_dir=str(Path(__file__).parent), save_git_info=False)
    # the commit is in the provenance; Sacred would copy the files again for every run
    experiment.sources.clear()
    experiment.add_config(dict(config))
    experiment.observers.append(FileStorageObserver(folder / "sacred", copy_sources=False))
    if place := database_address():
        from dima.record.mongo.observer import DatabaseObserver

        cell = f"{config['task']['name']}/{config['method']}/seed-{config['seed']}"
        experiment.observers.append(DatabaseObserver(place, folder, config["grid"], cell))
    experiment.logger = cast(Any, _quiet_logger())  # Sacred declares it as None
    return experiment


def _quiet_logger() -> logging.Logger:
    """The cell says itself how it ended; Sacred would say it again."""
    logger = logging.getLogger("dima.sacred")
    logger.setLevel(logging.CRITICAL)
    return logger
