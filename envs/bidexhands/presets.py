"""The presets: each `constants/vN.yaml` is the preset of its name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "constants"
DEFAULT = "v1"
"""The preset of the tasks' files in `workflow/config/tasks`."""
FORMER_NAMES = {"paper": "v0"}
"""Names of presets in records from before version 1, which can still be read and continued."""


def presets() -> tuple[str, ...]:
    """The names of all presets, the default first, then by version."""
    versions = sorted(int(file.stem[1:]) for file in FOLDER.glob("v[0-9]*.yaml"))
    return (DEFAULT, *(name for name in map("v{}".format, versions) if name != DEFAULT))


def constants_file(preset: str) -> Path:
    """The file of a preset, by its name or its former one."""
    return FOLDER / f"{FORMER_NAMES.get(preset, preset)}.yaml"
