"""Performance profiles of a suite: the share of a method's runs with a score above each threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dima.analysis.figures.style import Points, add_legend, draw_line, label_axes, looks_of, write_in_middle
from dima.analysis.returns.scores import SuiteScores
from dima.analysis.returns.statistics import bootstrap_interval, performance_profile

_THRESHOLDS = 201


def draw_profiles(title: str, suite: Sequence[SuiteScores]) -> Figure:
    """One curve a method with its bootstrap interval, and the score of the paper's DIMA."""
    figure = Figure(figsize=(6.5, 4.6), layout="constrained")
    axis = figure.subplots()
    shown = [scores for scores in suite if scores.scores]
    looks = looks_of(scores.method for scores in shown)
    comparable = not any(scores.units_only for scores in shown)
    marks = [0.0, 1.0] if comparable or not shown else [0.0]
    everything = np.concatenate([marks, *(part for scores in shown for part in scores.scores)])
    thresholds = np.linspace(everything.min(), 1.03 * everything.max(), _THRESHOLDS)
    for scores in reversed(shown):  # the grid's first method is drawn on top
        profile = performance_profile(np.concatenate(scores.scores), thresholds)
        band = None if scores.few_runs else _interval(scores, thresholds)
        draw_line(axis, thresholds, profile, band, **looks[scores.method])
    axis.set(xlim=(thresholds[0], thresholds[-1]), ylim=(-0.02, 1.02))
    x = "score $\\tau$ (final return over the paper's final return of dima on the task)"
    label_axes(axis, x, "share of runs with a score above $\\tau$")
    if not shown:
        write_in_middle(axis, "no scores")
    if comparable:
        axis.axvline(1.0, color="#555555", linewidth=0.9, linestyle=(0, (5, 2)), zorder=1)
    figure.suptitle(title, fontsize=11)
    handles = [Line2D([], [], label=_label(scores), **looks[scores.method]) for scores in shown]
    add_legend(figure, handles, _caption(suite), columns=2)
    return figure


def _interval(scores: SuiteScores, thresholds: Points) -> tuple[Points, Points]:
    low, high = bootstrap_interval(scores.scores, lambda runs: performance_profile(runs, thresholds))
    return low, high


def _label(scores: SuiteScores) -> str:
    tasks = f"{len(scores.returns)} of {len(scores.tasks)} tasks"
    return f"{scores.method} ({scores.runs} of {scores.planned} runs, {tasks})"


def _caption(suite: Sequence[SuiteScores]) -> list[str]:
    """The meaning of lines, bands and dashes, and the methods without a curve."""
    banded = any(scores.scores and not scores.few_runs for scores in suite)
    lines = ["band: 95 % stratified bootstrap interval, runs resampled within each task"] if banded else []
    reasons = dict.fromkeys(reason for scores in suite for reason in scores.units_only.values())
    lines += [f"scores are divided by the paper's dima; not comparable: {reason}" for reason in reasons]
    lines += [] if reasons else ["dashes: the paper's own mean score of dima"]
    few = [scores.method for scores in suite if scores.scores and scores.few_runs]
    if few:
        lines.append(f"no band, fewer than three runs of a task: {', '.join(few)}")
    without = [scores.method for scores in suite if not scores.scores]
    if without:
        lines.append(f"no curve: {', '.join(without)}")
    return lines
