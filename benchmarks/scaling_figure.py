"""The figure of `python -m benchmarks.scaling`: time and peak memory against agents, state and rollouts.

    python -m benchmarks.scaling_figure scaling.json scaling

redraws it from the JSON file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from dima.analysis.figures.style import save_figure, style

# Okabe and Ito's palette for any colour vision, each colour with its own marker
LOOKS = {
    "time of epoch": ("#000000", "o", "whole epoch"),
    "time of imagination": ("#0072B2", "s", "imagination"),
    "time of behavior": ("#E69F00", "^", "behaviour"),
    "time of denoiser": ("#D55E00", "D", "denoiser"),
    "time of reward_model": ("#009E73", "v", "reward model"),
    "time of state_decoder": ("#CC79A7", "P", "state decoder"),
    "peak memory": ("#000000", "o", "whole epoch"),
}
ROWS = (
    ("time", "CPU time of an epoch,\nor of one call of a part (s)"),
    ("peak memory", "peak memory\nof an epoch (MiB)"),
)
AXIS_LABELS = {"agents": "agents", "state": "numbers in the state", "rollouts": "imagined rollouts"}
TITLE = (
    "Cost of learning in push-mass-N, small networks: medians, bars from least to greatest, "
    "fitted power laws\nin the legends: exponent of the fit / of the last two sizes"
)


def draw(found: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel for each axis and row, log-log, with its legend below it; panels of a row share their scale."""
    figure = Figure(figsize=(11.5, 8.0), layout="constrained")
    panels = figure.subplots(len(ROWS), len(AXIS_LABELS), height_ratios=(3, 2), sharey="row")
    for line, (quantity, label) in zip(panels, ROWS, strict=True):
        for panel, axis in zip(line, AXIS_LABELS, strict=True):
            rows = [row for row in found if row["axis"] == axis and row["quantity"].startswith(quantity)]
            _draw_panel(panel, sorted(rows, key=lambda row: list(LOOKS).index(row["quantity"])))
            panel.set_xlabel(AXIS_LABELS[axis], fontsize=9)
        line[0].set_ylabel(label, fontsize=9)
    figure.suptitle(TITLE, fontsize=10)
    return figure


def _draw_panel(panel: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    handles = []
    for row in rows:
        colour, mark, name = LOOKS[row["quantity"]]
        sizes, medians, repetitions = np.array(row["sizes"]), np.array(row["median"]), row["measured"]
        low, high = ([least(values) for values in repetitions] for least in (min, max))
        panel.errorbar(
            sizes,
            medians,
            [medians - low, high - medians],
            fmt="none",
            ecolor=colour,
            elinewidth=1,
            capsize=2.5,
        )
        sns.scatterplot(x=sizes, y=medians, ax=panel, color=colour, marker=mark, s=26, zorder=3)
        sns.lineplot(
            x=sizes, y=row["factor"] * sizes ** row["exponent"], ax=panel, color=colour, linewidth=1.1
        )
        exponents = f"{row['exponent']:.2f} / {row['exponent_of_the_last_two']:.2f}"
        handles.append(
            Line2D(
                [], [], color=colour, marker=mark, markersize=5, linewidth=1.1, label=f"{name} {exponents}"
            )
        )
    panel.set(xscale="log", yscale="log")
    panel.set_xticks(rows[0]["sizes"], [str(size) for size in rows[0]["sizes"]])
    panel.xaxis.set_minor_locator(NullLocator())
    if len(rows) == 1:  # a quantity alone spans too little for powers of ten as ticks
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())
    panel.tick_params(labelsize=8)
    panel.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
        fontsize=8,
        frameon=False,
        handlelength=1.3,
        handletextpad=0.5,
        columnspacing=1.0,
    )


def save(found: Sequence[Mapping[str, Any]], stem: Path) -> list[Path]:
    """Write STEM.png and STEM.pdf, whose bytes depend on the numbers only."""
    with style():
        return save_figure(
            draw(found), [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "pdf")]
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the numbers of a JSON file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling_figure", description="Draw what benchmarks.scaling measured."
    )
    parser.add_argument("json", type=Path)
    parser.add_argument("stem", type=Path)
    options = parser.parse_args(arguments)
    save(json.loads(options.json.read_text(encoding="utf-8"))["growth"], options.stem)


if __name__ == "__main__":
    main()
