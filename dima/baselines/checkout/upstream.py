"""From a cell to the checkout that runs it, or one sentence why it cannot be run."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dima.baselines.checkout.interpreter import Interpreter, ask
from dima.baselines.checkout.program import Program
from dima.baselines.checkout.repository import Repository
from dima.config import CellConfig
from dima.config.registry import LEARNERS, load
from dima.errors import UserError


@dataclass(frozen=True)
class Upstream:
    """A checkout that can run the cell, and the Python it runs in."""

    program: Program
    repository: Repository
    interpreter: Interpreter
    device: torch.device

    @property
    def lineage(self) -> str:
        """Where its numbers come from: the upstream's own environment, over these versions."""
        return f"{self.program.name.lower()}-mamujoco, {self.interpreter.physics or 'unknown physics'}"

    @property
    def provenance(self) -> dict[str, Any]:
        """What the record keeps: all but the folder, which is where it runs."""
        versions = {"python": self.interpreter.python, "versions": self.interpreter.versions}
        return {"name": self.program.name, "commit": self.repository.commit, **versions}


def find_upstream(config: CellConfig, device: torch.device) -> Upstream:
    """The checkout and the Python that the environment variables of the cell's upstream name.

    Raises:
        UserError: a variable is not set, or what it names cannot run this cell.
    """
    program: Program = load(LEARNERS[type(config.parameters)])(config, device)
    variable = f"DIMA_{program.name}_CHECKOUT"
    place = os.environ.get(variable)
    if not place:
        raise UserError(
            f"Method {config.method} runs a checkout of {program.name}: name its folder in the environment variable {variable}."
        )
    folder = Path(place).absolute()
    repository = Repository(program.name, folder)
    repository.require(program.files, program.commit)
    program.check(folder)
    variable = f"DIMA_{program.name}_PYTHON"
    python = os.environ.get(variable) or sys.executable
    if os.sep in python:
        python = os.path.abspath(python)  # not resolved: a virtual environment's Python is a link
    return Upstream(program, repository, ask(python, variable, program.name, program.modules, folder), device)
