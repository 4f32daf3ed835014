"""The Python that runs a checkout, and the packages it has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dima.errors import UserError

SECONDS = 60
PACKAGES = ("gym", "gymnasium", "mujoco-py", "mujoco", "numpy", "ray", "torch")
QUESTION = """\
import importlib.metadata, importlib.util, json, platform, sys
modules, packages = json.loads(sys.argv[1])
versions = {}
for package in packages:
    try:
        versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
missing = [module for module in modules if importlib.util.find_spec(module) is None]
print(json.dumps({"python": platform.python_version(), "missing": missing, "versions": versions}))
"""


class Interpreter(NamedTuple):
    """A Python, its version, and the versions of those of `PACKAGES` that it has."""

    command: str
    python: str
    versions: dict[str, str]

    @property
    def physics(self) -> str:
        """The packages behind a MAMuJoCo task's numbers, as in `gym 0.21.0, mujoco-py 2.1.2.14`.

        Without mujoco-py, gym's own robots are replaced by gymnasium's.
        """
        names = ("gym", "mujoco-py") if "mujoco-py" in self.versions else ("gym", "gymnasium", "mujoco")
        return ", ".join(
            f"{package} {self.versions[package]}" for package in names if package in self.versions
        )


def ask(command: str, variable: str, name: str, modules: Sequence[str], folder: Path) -> Interpreter:
    """The Python `command`, in which the checkout of `name` in `folder` will run.

    Args:
        command: the program.
        variable: that the user chooses it with.
        name: of the upstream.
        modules: that its program imports.
        folder: of the checkout, whose own modules count.

    Raises:
        UserError: it cannot be run, or lacks modules.
    """
    question = [command, "-c", QUESTION, json.dumps([modules, PACKAGES])]
    try:
        result = subprocess.run(
            question,
            cwd=folder,
            env=environment_of(folder, os.environ),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        answer = json.loads(result.stdout)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"it ended with status {error.returncode}"])[-1]
        raise UserError(f"The Python {command} ({variable}) cannot be run: {last}.") from None
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it gives no answer"
        raise UserError(f"The Python {command} ({variable}) cannot be run: {reason}.") from None
    if answer["missing"]:
        raise UserError(
            f"{name} needs {', '.join(answer['missing'])}, which the Python {command} ({variable}) lacks."
        )
    return Interpreter(command, answer["python"], answer["versions"])


def environment_of(source: Path, ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of a checkout's program: its own modules first, none of this project's settings."""
    kept = {name: value for name, value in ours.items() if not name.startswith("DIMA_")}
    return {**kept, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
