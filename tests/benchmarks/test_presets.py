"""The comparison of the presets of computing: what it reads and what it concludes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import presets
from benchmarks.workload import CONFIG
from dima.config.grid import load_grid


def records(folder: Path, offset: float, digest: str | None = None) -> Path:
    """Summaries as cells write them: seed s of dima ends at s, of dima-fast at s + offset."""
    grid = load_grid("presets", CONFIG)
    for key in grid.cells:
        path = folder / "presets" / "cells" / key.folder / "summary.json"
        path.parent.mkdir(parents=True)
        mean = key.seed + (offset if key.method == "dima-fast" else 0.0)
        path.write_text(
            json.dumps({"config_hash": digest or grid.resolve(key).digest(), "final": {"mean": mean}}),
            encoding="utf-8",
        )
    return folder


@pytest.mark.parametrize(
    ("offset", "verdict"), [(0.5, "the intervals overlap"), (20.0, "the intervals do not overlap")]
)
def test_means_and_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset: float, verdict: str
) -> None:
    """Seeds 1 to 8 have the mean 4.5."""
    presets.main(["--from", str(records(tmp_path, offset)), "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["mean"] == {"reference": 4.5, "fast": 4.5 + offset}
    assert found["difference"]["mean"] == pytest.approx(offset)
    low, high = found["difference"]["interval"]
    assert low < offset < high
    assert found["interval"]["reference"][0] < 4.5 < found["interval"]["reference"][1]
    assert found["seeds"] == {"reference": 8, "fast": 8}
    assert found["probability_that_fast_is_better"] == (36 / 64 if offset == 0.5 else 1.0)
    assert capsys.readouterr().out.endswith(f"{verdict}\n")


def test_intervals_that_only_touch_overlap() -> None:
    same = dict.fromkeys(range(8), 1.0)
    assert presets.compare({"reference": same, "fast": same})["overlap"]
    assert not presets.compare({"reference": same, "fast": dict.fromkeys(range(8), 1.1)})["overlap"]
    assert not presets.compare({"reference": same, "fast": dict.fromkeys(range(7), 1.0)})["enough_seeds"]


def test_missing_and_foreign_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="seed-1/summary.json is missing: snakemake --cores 2"):
        presets.main(["--from", str(tmp_path)])
    with pytest.raises(SystemExit, match="of another configuration than the grid presets has now"):
        presets.main(["--from", str(records(tmp_path, 0.0, digest="other"))])
