"""The word beside each number, in the order of precedence that `compare` documents."""

from __future__ import annotations

from typing import Any

import pytest

from dima.analysis.records.load import Summary
from dima.analysis.reference import PaperNumber
from dima.analysis.returns.compare import Verdict, compare
from dima.analysis.returns.sample import Sample
from dima.config.grid import CellKey

PAPER = PaperNumber("259.9 ± 4.1 (4)", 300_000, 259.9, 4.1, 4, "Table 2")


@pytest.fixture
def sample(make_summary: Any) -> Any:
    """`sample(returns, {seed: state})` has seeds 1, 2, ...; `changes` of their summaries may be a list with
    one value a seed."""

    def make(
        returns: list[float],
        without_result: dict[int, str] | None = None,
        env_steps: int = 300_000,
        **changes: Any,
    ) -> Sample:
        summaries = {}
        for seed, value in enumerate(returns, 1):
            own = {
                name: given[seed - 1] if isinstance(given, list) else given for name, given in changes.items()
            }
            summaries[seed] = Summary.model_validate(
                make_summary(CellKey("bottle-cap", "dima", seed), value, env_steps) | own
            )
        return Sample(
            "bottle-cap", "dima", env_steps, dict(enumerate(returns, 1)), summaries, without_result or {}
        )

    return make


@pytest.mark.parametrize(
    ("mean", "word", "difference"),
    [
        (262.0, "reproduced", 2.1),
        (264.0, "reproduced", 4.1),  # on the edge of the band: 264.0 - 259.9 > 4.1 in floating point
        (255.8, "reproduced", -4.1),
        (264.01, "above", 4.11),
        (255.79, "below", -4.11),
    ],
)
def test_the_band_is_the_papers_standard_deviation(
    sample: Any, mean: float, word: str, difference: float
) -> None:
    verdict = compare(sample([mean - 2, mean - 1, mean + 1, mean + 2]), PAPER, comparable_task=True)
    assert (verdict.word, verdict.reason) == (word, "")
    assert verdict.difference == pytest.approx(difference)


def test_not_run_wins_over_everything(sample: Any) -> None:
    nothing = sample([], {1: "not run", 2: "not run"})
    assert compare(nothing, None, comparable_task=False) == Verdict("not run")


def test_started_but_nothing_completed_is_partial_and_names_the_seeds(sample: Any) -> None:
    started = sample([], {1: "diverged", 2: "running", 3: "diverged", 4: "not run"})
    expected = Verdict("partial n=0/4", "2 diverged (seeds 1, 3), 1 running (seed 2), 1 not run (seed 4)")
    assert compare(started, PAPER, comparable_task=True) == expected


def test_fewer_seeds_than_planned_is_partial_even_outside_the_band(sample: Any) -> None:
    verdict = compare(sample([300.0, 302.0, 304.0], {4: "failed"}), PAPER, comparable_task=True)
    assert (verdict.word, verdict.reason) == ("partial n=3/4", "1 failed (seed 4)")
    assert verdict.difference == pytest.approx(302.0 - 259.9)


def test_fewer_seeds_than_the_papers_number_rests_on_is_partial(sample: Any) -> None:
    verdict = compare(sample([260.0, 262.0]), PAPER, comparable_task=True)
    assert (verdict.word, verdict.reason) == ("partial n=2/4", "the paper's number is of 4 runs")
    assert compare(sample([260.0] * 4), PAPER._replace(runs=8), comparable_task=True).word == "partial n=4/8"


def test_no_number_in_the_paper(sample: Any) -> None:
    assert compare(sample([1.0]), None, comparable_task=True) == Verdict(
        "not comparable", "no number in the paper"
    )
    absent = PaperNumber("", 300_000, None, None, None, "Table 2 (out of memory)")
    assert (
        compare(sample([1.0]), absent, comparable_task=True).reason
        == "no number in the paper: Table 2 (out of memory)"
    )


def test_other_physics_wins_over_partial(sample: Any) -> None:
    ours = sample([260.0], {2: "diverged"}, lineage="port")
    assert compare(ours, PAPER, comparable_task=False) == Verdict(
        "not comparable", "other physics: port; 1 diverged (seed 2)"
    )


def test_a_smaller_budget_is_not_comparable(sample: Any) -> None:
    expected = Verdict("not comparable", "budget 4,000 of the paper's 300,000 env steps")
    assert compare(sample([260.0] * 4, env_steps=4000), PAPER, comparable_task=True) == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engine": ["native", "harl", "native", "harl"]}, "engines mixed across the seeds: harl, native"),
        ({"lineage": ["b", "a", "a", "a"]}, "lineages mixed across the seeds: a, b"),
    ],
)
def test_mixed_seeds_are_not_comparable_whatever_the_paper_says(
    sample: Any, changes: dict[str, Any], reason: str
) -> None:
    assert compare(sample([260.0] * 4, **changes), PAPER, comparable_task=True) == Verdict(
        "not comparable", reason
    )
    assert compare(sample([260.0] * 4, **changes), None, comparable_task=True) == Verdict(
        "not comparable", reason
    )
