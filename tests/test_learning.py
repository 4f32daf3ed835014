"""That the methods learn, not only run: cells for two cores, run in full, or remembered while what they rest
on is the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from learned import RECORDS, ROOT, SEEDS, Proof, meaning, method_modules

LEAST = {
    ("quick", "dima"): 25,
    ("baselines", "mamba"): 25,
    ("baselines", "marie"): 15,
    ("baselines-harl", "mappo"): 25,
    ("baselines-harl", "happo"): 25,
    ("baselines-harl", "hasac"): 25,
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("grid", "method"), LEAST)
def test_it_learns_push_mass_on_both_seeds(
    tmp_path: Path, request: pytest.FixtureRequest, grid: str, method: str
) -> None:
    """Far more than 20 above uniformly random forces, which return -12; standing still returns -2, a tuned
    controller 44."""
    proof = Proof(grid, method)
    record = None if request.config.getoption("every_proof") else proof.remembered()
    if record is None:
        if not (request.config.getoption("slow") or request.config.getoption("every_proof")):
            pytest.skip("what it learned with has changed since: --slow trains it")
        if grid == "baselines-harl":
            pytest.importorskip("harl")
        record = proof.train(tmp_path)
        assert_learned(record, LEAST[grid, method])
        proof.remember(record)
    assert_learned(record, LEAST[grid, method])


def assert_learned(record: dict[str, Any], least: float) -> None:
    """Both seeds end above what is asked of them."""
    assert min(record["final_returns"]) >= least
    assert record["episodes"] == [10] * len(SEEDS)


def test_every_record_is_of_a_proof() -> None:
    assert {path.name for path in RECORDS.glob("*")} <= {f"{grid}.{method}.json" for grid, method in LEAST}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code and configuration in another folder."""
    for name in ("dima", "envs", "workflow/config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "forgets"),
    [
        ("dima/behavior/returns.py", "discount * ", "0.5 * discount * ", True),
        ("dima/behavior/returns.py", '"""', '"""Otherwise told. ', False),
        ("dima/behavior/returns.py", "\n\n\n", "\n\n\n# a comment\n", False),
        ("dima/baselines/mamba/losses.py", "mean()", "sum()", False),
        ("dima/analysis/tables/write.py", "import", "import sys, ", False),
        ("envs/push_mass.py", "+ 0.1 * force", "+ 0.2 * force", True),
        ("workflow/config/quick.yaml", "discount: 0.95", "discount: 0.96", True),
        ("workflow/config/quick.yaml", "rollout_threads: 10", "rollout_threads: 20", False),
        ("requirements.lock", "torch==2.13.0", "torch==2.13.1", True),
        ("workflow/config/methods/dima.yaml", "\n", "\n# a comment\n", False),
    ],
)
def test_a_proof_is_remembered_until_what_it_rests_on_changes(
    copy: Path, file: str, old: str, new: str, forgets: bool
) -> None:
    modules = ["dima.behavior.returns", "dima.learning.dima_learner", "envs", "envs.push_mass"]
    before = Proof("quick", "dima", copy).digest(modules)
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert (Proof("quick", "dima", copy).digest(modules) != before) == forgets


def test_it_rests_on_what_learns_and_simulates_and_not_on_what_records_or_shows() -> None:
    loaded = [
        "dima.cli",
        "dima.cell.run",
        "dima.record.events",
        "dima.learning.dima_learner",
        "dima.experience.replay",
        "dima.world_model.unet",
        "envs.push_mass",
    ]
    assert method_modules(loaded) == {
        "dima.learning.dima_learner",
        "dima.experience.replay",
        "dima.world_model.unet",
        "envs.push_mass",
    }


def test_the_meaning_of_code_is_neither_its_docstrings_nor_its_layout(tmp_path: Path) -> None:
    code = {
        "plain": "def f(x):\n    return x + 1\n",
        "told": '"""A module."""\ndef f(x):\n    """Adds."""\n    return (x +\n  1)  # one\n',
    }
    for name, text in {**code, "other": "def f(x):\n    return x + 2\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    plain, told, other = (meaning(tmp_path / name) for name in ("plain", "told", "other"))
    assert plain == told != other
