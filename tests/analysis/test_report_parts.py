"""The report's charts, colours and logs, worked out by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dima.analysis import report
from dima.analysis.report.cell_log import read_log
from dima.analysis.report.chart import Series, make_chart
from dima.analysis.report.colors import DARK, LIGHT, contrast, legible, method_colors
from dima.errors import UserError


def test_a_line_lies_where_its_values_are() -> None:
    chart = make_chart(
        [Series("dima", [0, 50, 100], [0.0, 10.0, 5.0], [0.0, 8.0, 4.0], [0.0, 10.0, 6.0])], 100, height=124
    )
    left, top, right, bottom = chart.box
    assert chart.domain == (0.0, 100.0, -0.5, 10.5)  # a twentieth of the range on either side
    (line,) = chart.lines
    middle, height = (left + right) / 2, bottom - top
    at = [round(bottom - (value + 0.5) / 11 * height, 1) for value in (0, 10, 5, 6, 4, 8)]
    assert line.path == f"M{left:g},{at[0]:g}L{middle:g},{at[1]:g}L{right:g},{at[2]:g}"
    assert (
        line.band == f"M{left:g},{at[0]:g}L{middle:g},{at[1]:g}L{right:g},{at[3]:g}"
        f"L{right:g},{at[4]:g}L{middle:g},{at[5]:g}L{left:g},{at[0]:g}Z"
    )
    assert (line.dots, line.paper) == ([], None)
    assert [tick.label for tick in chart.x_ticks] == ["0", "25", "50", "75", "100"] or [
        tick.at for tick in chart.x_ticks
    ][0] == left
    assert {tick.label: tick.at for tick in chart.y_ticks}["10"] == at[1]


def test_a_gap_is_no_line_and_a_point_alone_is_a_dot() -> None:
    (line,) = make_chart([Series("x", [0, 1, 2, 3, 4], [1.0, 2.0, None, 3.0, None])], 4).lines
    assert line.path.count("M") == 1
    assert line.path.count("L") == 1
    assert len(line.dots) == 1


@pytest.mark.parametrize("values", [[], [None, None], [0.0, 0.0], [-7.0, -7.0], [1e-9, 2e-9], [1e12, 3e12]])
def test_any_values_have_a_chart(values: list[float | None]) -> None:
    chart = make_chart([Series("x", list(range(len(values))), values)], 10)
    low, high = chart.domain[2:]
    assert low < high
    assert all(chart.box[1] <= tick.at <= chart.box[3] for tick in chart.y_ticks)
    labels = [tick.label for tick in chart.y_ticks]
    assert len(set(labels)) == len(labels)


def test_the_papers_number_is_marked_at_its_height_and_makes_room_at_the_right() -> None:
    without, with_mark = (
        make_chart([Series("x", [0, 10], [0.0, 10.0], paper=paper)], 10) for paper in (None, 10.0)
    )
    assert with_mark.box[2] < without.box[2]
    (line,) = with_mark.lines
    assert line.paper == float(line.path.rpartition(",")[2])


def test_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )  # the greys on either side of 4.5, known from WCAG's examples
    assert contrast("#123456", "#123456") == 1


def test_every_method_can_be_seen_on_both_pages_and_colours_that_can_are_left_alone() -> None:
    colors = method_colors(["dima", "mappo", "dima-small-encoder", "happo", "dima-fast", "unknown"])
    assert all(contrast(light, LIGHT) >= 3 and contrast(dark, DARK) >= 4.5 for light, dark in colors.values())
    assert colors["dima"][0] == "#0072b2"
    assert colors["mappo"][0] == "#000000"
    assert colors["mappo"][1] != "#000000"
    assert len(set(colors.values())) == len(colors)
    assert legible("#e69f00", LIGHT) != "#e69f00"  # 2.2 on white


def test_texts_can_be_read_on_their_grounds_in_light_and_dark() -> None:
    style = (Path(report.__file__).parent / "templates/style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )
    assert (light["ground"], dark["ground"]) == (LIGHT, DARK)
    for colors in (light, dark):
        pairs = [
            (name.removesuffix("-ground"), name)
            for name in colors
            if name.endswith("-ground") and name != "none-ground"
        ]
        assert len(pairs) == 4
        pairs += [
            (text, ground) for text in ("ink", "quiet", "accent") for ground in ("ground", "raised")
        ] + [("ink", "none-ground")]
        for text, ground in pairs:
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)


def log(events: list[dict[str, Any]]) -> bytes:
    return "".join(
        f"{json.dumps({'seq': seq, 'wall_seconds': 0.0} | event)}\n" for seq, event in enumerate(events)
    ).encode()


def test_long_series_are_drawn_as_means_of_so_many_in_a_row() -> None:
    events = [
        {"kind": "scalars", "env_steps": 10 * step, "group": "loss", "values": {"a": float(step), "b": None}}
        for step in range(401)
    ]
    (group,) = read_log(log(events), "x").groups
    assert (group.name, group.count, group.together, len(group.steps)) == (
        "loss",
        401,
        3,
        134,
    )  # 133 threes and a two
    assert group.steps[:2] == [20, 50]
    assert group.values["a"][:2] == [1.0, 4.0]
    assert group.values["a"][-1] == 399.5
    assert set(group.values["b"]) == {None}


def test_evaluations_are_means_with_their_range_and_one_that_is_not_finite_is_a_gap() -> None:
    episode = {"kind": "evaluation", "env_steps": 0, "grid_step": 0, "success": True}
    means = [{**episode, "grid_step": 20, "episodes": 7, "return": 4.0, "success": None}]
    events = [
        {**episode, "return": 1.0},
        {**episode, "return": 3.0, "success": False},
        {**episode, "grid_step": 10, "return": None},
    ]
    evaluations = read_log(log([*events, *means]), "x").evaluations
    assert [tuple(evaluation) for evaluation in evaluations] == [
        (0, 2.0, 1.0, 3.0, 2, 0.5),
        (10, None, None, None, 1, 1.0),
        (20, 4.0, 4.0, 4.0, 7, None),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "evaluation", "return": 1.0},
        {"kind": "evaluation", "grid_step": 1, "return": "1"},
        {"kind": "scalars", "env_steps": 1, "group": "x", "values": [1]},
        {"kind": "scalars", "env_steps": None, "group": "x", "values": {}},
    ],
)
def test_an_event_of_another_format_is_refused_by_name(event: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"the log holds an event that is not of this format \(seq 0\)"):
        read_log(log([event]), "the log")
