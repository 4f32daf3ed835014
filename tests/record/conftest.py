"""Attempts of cells, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mongo_server import _server_uri, databases, own_server  # noqa: F401

CELL = "push-mass/dima/seed-1"


class Attempt:
    """Writes what a cell leaves behind, in the steps in which it does."""

    def __init__(self, folder: Path, digest: str = "c0ffee", number: int = 1) -> None:
        self.folder, self.digest, self.number = folder, digest, number
        self.seq = 0

    def write(self, name: str, content: dict[str, Any]) -> None:
        (self.folder / name).write_text(json.dumps(content))

    def begin(self) -> Attempt:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = {
            "grid": "trial",
            "task": {"name": "push-mass"},
            "method": "dima",
            "seed": 1,
            "rate": 0.5,
            "big": 2**70,
        }
        start = {
            "started": "2026-03-01T12:00:00+0200", "commit": "abc", "dirty": False, "host": "node7",
            "python": "3.11.7",
            "hardware": "CPU, 2 cores, no GPU", "versions": {"torch": "2.13.0"},
        }  # fmt: skip
        self.write("config.json", {"digest": self.digest, "config": config})
        self.write("provenance.json", {"attempt": self.number, "starts": [start], "finished": False})
        return self.status("running")

    def status(self, state: str, message: str | None = None) -> Attempt:
        self.write("status.json", {"state": state, "updated": 1772359200.5 + self.seq, "message": message})
        return self

    def event(self, kind: str, **fields: Any) -> Attempt:
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(
                json.dumps({"seq": self.seq, "kind": kind, **fields, "wall_seconds": 0.5 * self.seq}) + "\n"
            )
        self.seq += 1
        return self

    def epoch(self, step: int, loss: float | None) -> Attempt:
        return self.event(
            "scalars", env_steps=step, epoch=step, group="denoiser", values={"loss": loss, "norm": 2.0 * step}
        )

    def evaluation(self, step: int, *returns: float) -> Attempt:
        for number, value in enumerate(returns):
            self.event(
                "evaluation",
                env_steps=step,
                grid_step=step,
                episode=number,
                **{"return": value},
                length=5,
                success=None,
            )
        return self

    def end(self, mean: float = 3.0) -> Attempt:
        self.status("completed")
        self.write("summary.json", {"format": 1, "config_hash": self.digest, "final": {"mean": mean}})
        provenance = json.loads((self.folder / "provenance.json").read_text())
        self.write("provenance.json", {**provenance, "finished": True})
        return self

    def whole(self) -> Attempt:
        self.begin().evaluation(0, 1.0, 2.0).epoch(10, 0.5).epoch(20, None)
        return self.event("rewind", to=3).epoch(20, 0.25).evaluation(20, 2.0, 4.0).end()


@pytest.fixture
def cell_folder(tmp_path: Path) -> Path:
    """Of the grid `trial`."""
    return tmp_path / "results/trial/cells" / CELL


@pytest.fixture
def new_attempt() -> type[Attempt]:
    """`new_attempt(folder, digest, number)`."""
    return Attempt


@pytest.fixture
def attempt(cell_folder: Path) -> Attempt:
    """The cell's first attempt, nothing of it written yet."""
    return Attempt(cell_folder)
