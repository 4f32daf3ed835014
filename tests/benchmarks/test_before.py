"""Two checkouts that take turns: an epoch adds up its calls, and a folder that is no checkout is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import before
from benchmarks.before import PARTS, Checkout, compare


class Steady(Checkout):
    """A checkout whose calls take a number of seconds, and one more at a first call."""

    def __init__(self, seconds: float) -> None:
        self.calls = [200.0, 200.0, 100.0, 4.0, 4.0]
        self.asked: list[str] = []
        self._seconds = seconds

    def seconds(self, part: str) -> float:
        self.asked.append(part)
        return self._seconds + (self.asked.count(part) == 1)


def test_an_epoch_is_the_sum_of_its_calls() -> None:
    """508 calls, of 2 seconds before and 1 now; the first call of each part is not counted."""
    old, new = Steady(2.0), Steady(1.0)
    found = compare(old, new, rounds=3)
    half = {"median": 0.5, "min": 0.5, "max": 0.5}
    assert {part: row["ratio"] for part, row in found.items()} == dict.fromkeys((*PARTS, "epoch"), half)
    assert found["epoch"]["before_seconds"]["median"] == 2 * 508
    assert old.asked == new.asked == [*PARTS] * 4


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        before.main([str(tmp_path)])
    assert f"{tmp_path} is no checkout of this repository" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.remembered
def test_a_checkout_beside_itself(capsys: pytest.CaptureFixture[str]) -> None:
    before.main([str(Path(__file__).parents[2]), "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [*PARTS, "epoch"]
    _, old, new, _ = lines[-1].split(" | ")
    assert float(new) == pytest.approx(float(old), rel=0.5)
