"""What a dear test rests on, and when it is remembered that it passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import pytest
import remembered

ROOT = Path(__file__).parents[1]
WARP = ROOT / "tests/envs/test_bidexhands_warp.py"
COMPILED = ROOT / "tests/learning/test_compute.py"


@pytest.fixture(autouse=True)
def _records_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "RECORDS", tmp_path / "records")
    remembered.digest.cache_clear()


def reached(test_file: Path) -> set[str]:
    return {name for name, _ in remembered._reached(test_file)}


def test_it_rests_on_what_it_imports_directly_or_not() -> None:
    found = reached(WARP)
    assert {
        "envs.bidexhands.warp_worlds",
        "envs.bidexhands.rewards",
        "envs.scripted",
        "envs.registry",
        "envs.mamujoco.robots",
    } <= found
    assert not [name for name in found if name.startswith(("dima", "benchmarks"))]


def test_it_rests_on_what_other_processes_import_for_it_and_on_helpers() -> None:
    assert {
        "dima.learning.dima_learner",
        "dima.world_model.denoiser",
        "dima.behavior.imagination",
    } <= reached(COMPILED)
    assert "container_base" in reached(ROOT / "tests/test_container_base.py")
    assert {"dima.cell.run", "dima.cli", "dima.analysis.tables.write"} <= reached(
        ROOT / "tests/cell/test_sibling_seeds.py"
    )
    assert {"counting_cell", "dima.cell.attempts"} <= reached(ROOT / "tests/cell/test_kill_points.py")
    assert remembered._fixtures(ROOT / "tests/record/test_live.py") == [ROOT / "tests/record/conftest.py"]
    assert "mongo_server" in reached(ROOT / "tests/record/conftest.py")


@pytest.mark.parametrize(
    ("old", "new", "forgets"),
    [
        ("- reach - held", "- reach + held", True),
        ("\n\n\n", "\n\n\n# a comment\n", False),
        ('"""', '"""Told. ', False),
    ],
)
def test_it_is_forgotten_when_the_code_below_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, forgets: bool
) -> None:
    remembered.remember(WARP, ["test"])
    assert remembered.is_remembered(WARP)
    rewards = ROOT / "envs/bidexhands/rewards.py"
    text = rewards.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "rewards.py").write_text(text.replace(old, new, 1), encoding="utf-8")
    source, changed = remembered.source, tmp_path / "rewards.py"
    monkeypatch.setattr(
        remembered,
        "source",
        lambda root, name: changed if name == "envs.bidexhands.rewards" else source(root, name),
    )
    remembered.digest.cache_clear()
    assert remembered.is_remembered(WARP) != forgets


def report(test: str, when: str = "call", outcome: str = "passed") -> Any:
    return SimpleNamespace(
        nodeid=f"tests/learning/test_compute.py::{test}",
        location=("tests/learning/test_compute.py",),
        when=when,
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("reports", "noted"),
    [
        ([report(test, when) for test in "ab" for when in ("setup", "call", "teardown")], True),
        ([report("a", "setup"), report("a", "call", "failed"), report("a", "teardown")], False),
        (
            [
                *(report("a", when) for when in ("setup", "call", "teardown")),
                report("b", "setup", "skipped"),
                report("b", "teardown"),
            ],
            False,
        ),
        ([report("a", "setup"), report("a", "call")], False),
    ],
    ids=["all passed", "one failed", "one was skipped", "interrupted"],
)
def test_a_file_is_remembered_where_all_its_dear_tests_passed(reports: list[Any], noted: bool) -> None:
    conftest._remember(reports)
    assert remembered.is_remembered(COMPILED) == noted
