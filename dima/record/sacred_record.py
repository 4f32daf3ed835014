"""Sacred's copy of a run: configuration, scalars and result, in files and, if configured, in MongoDB.

It is never the only copy, and its failures never stop a run.
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
    """Call `run` inside a Sacred run in `<folder>/sacred/<n>`; processes of a cell count n from 1.

    Args:
        name: of the Sacred experiment.
        config: the resolved configuration of the cell.
        folder: of the cell.
        run: receives the function that logs a scalar.

    Raises:
        UserError: the configured database is invalid (see `database_address`); nothing ran.
    """
    experiment = _experiment(name, config, folder)
    results: list[Result] = []

    @experiment.main
    def main(_run: Any) -> None:
        results.append(run(lambda metric, value, step: _run.log_scalar(metric, value, step)))

    experiment.run(options={"--capture": "no"})
    return results[0]


def _experiment(name: str, config: Mapping[str, Any], folder: Path) -> Any:
    with warnings.catch_warnings():  # Sacred 0.8 imports the deprecated pkg_resources
        warnings.simplefilter("ignore")
        from sacred import Experiment
        from sacred.observers import FileStorageObserver
    experiment = Experiment(name, base_dir=str(Path(__file__).parent), save_git_info=False)
    # the provenance has the commit; Sacred would copy the files for every run
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
    """Sacred would repeat the cell's own messages."""
    logger = logging.getLogger("dima.sacred")
    logger.setLevel(logging.CRITICAL)
    return logger
