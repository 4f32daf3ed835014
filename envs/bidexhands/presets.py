"""The presets: "paper" is `constants/v0.yaml`, every further `constants/vN.yaml` is a preset of its own name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "constants"


def presets() -> tuple[str, ...]:
    """The names of all presets, "paper" first."""
    later = sorted(int(file.stem[1:]) for file in FOLDER.glob("v[0-9]*.yaml") if file.stem != "v0")
    return ("paper", *(f"v{version}" for version in later))


def constants_file(preset: str) -> Path:
    """Where a preset's constants are."""
    return FOLDER / ("v0.yaml" if preset == "paper" else f"{preset}.yaml")
