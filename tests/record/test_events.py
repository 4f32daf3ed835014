"""The event log: what a line holds, torn lines, repetition after a resume, superseded lines, logs of earlier
versions."""

from __future__ import annotations

import json
import math
from itertools import cycle
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dima.errors import UserError
from dima.record.archive import pack_cells
from dima.record.events import VARYING, EventLog, parse_events, read_events


def write(path, values, position=0):
    log = EventLog(path, position)
    for value in values:
        log.scalars(1.0, {"env_steps": 5}, {"g": {"x": value}})
    log.close()
    return log


def values(path):
    return [event["values"]["x"] for event in read_events(path)]


def line(seq, kind, **fields):
    """A line as earlier versions wrote it."""
    return json.dumps({"seq": seq, "kind": kind, **fields, "wall_seconds": 0.5}) + "\n"


def without_clock(events):
    return [{name: value for name, value in event.items() if name not in VARYING} for event in events]


def test_a_row_says_its_numbers_and_the_columns_are_said_once(tmp_path):
    log = EventLog(tmp_path / "e")
    for epoch, groups in (
        (1, {"a": {"x": 0.25, "y": 4.0}, "b": {"x": -1.5}}),
        (2, {"a": {"x": 1.5}}),
        (3, {"a": {"x": 2.5}}),
    ):
        log.scalars(7.04, {"env_steps": 10 * epoch, "epoch": epoch}, groups)
    log.close()
    lines = [json.loads(text) for text in (tmp_path / "e").read_text().splitlines()]
    place = ["env_steps", "epoch"]
    assert lines == [
        {"seq": 0, "kind": "columns", "number": 0, "place": place, "groups": {"a": ["x", "y"], "b": ["x"]}},
        [0, 10, 1, 7.0, 0.25, 4, -1.5],
        {"seq": 2, "kind": "columns", "number": 1, "place": place, "groups": {"a": ["x"]}},
        [1, 20, 2, 7.0, 1.5],
        [1, 30, 3, 7.0, 2.5],
    ]
    assert log.position == 4
    events = read_events(tmp_path / "e")
    first = {
        "seq": 1,
        "kind": "scalars",
        "env_steps": 10,
        "epoch": 1,
        "group": "a",
        "values": {"x": 0.25, "y": 4},
        "wall_seconds": 7.0,
    }
    assert events[0] == first
    assert [(event["seq"], event["group"], event["values"]) for event in events[1:]] == [
        (1, "b", {"x": -1.5}), (3, "a", {"x": 1.5}), (4, "a", {"x": 2.5}),
    ]  # fmt: skip


def test_an_evaluation_is_one_line_and_an_event_for_each_episode(tmp_path):
    log = EventLog(tmp_path / "e")
    episodes = [
        {"return": value, "length": 7, "success": success} for value, success in ((1 / 3, True), (2.0, False))
    ]
    log.evaluation(0.0, episodes, env_steps=12, grid_step=10)
    log.evaluation(
        0.0, [{"return": 5.0, "length": None, "success": None, "episodes": 10}], env_steps=20, grid_step=20
    )
    log.close()
    first = json.loads((tmp_path / "e").read_text().splitlines()[0])
    assert (first["return"], first["length"], first["success"]) == ([1 / 3, 2.0], 7, [True, False])
    place = {"seq": 0, "kind": "evaluation", "env_steps": 12, "grid_step": 10, "wall_seconds": 0.0}
    assert read_events(tmp_path / "e") == [
        {**place, "episode": 0, "return": 1 / 3, "length": 7, "success": True},
        {**place, "episode": 1, "return": 2.0, "length": 7, "success": False},
        {
            **place,
            "seq": 1,
            "env_steps": 20,
            "grid_step": 20,
            "episodes": 10,
            "return": 5.0,
            "length": None,
            "success": None,
        },
    ]
    assert log.position == 3


def test_numbers_keep_what_the_report_shows_and_whole_ones_everything(tmp_path):
    write(tmp_path / "e", [math.nan, math.inf, 1.0, 0.123456, -98765.4, 1234567.0])
    assert values(tmp_path / "e") == [None, None, 1, 0.123, -98800.0, 1234567]


def test_a_run_that_repeats_itself_writes_nothing_twice(tmp_path):
    path = tmp_path / "e"
    write(path, [1.0, 2.0, 3.0, 4.0])
    before = path.read_text()
    log = write(path, [3.0, 4.0, 5.0], position=2)
    assert path.read_text().startswith(before)
    assert values(path) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3, 4, 5]
    assert log.position == 5


def test_a_run_that_does_not_repeat_itself_supersedes_the_old_lines(tmp_path):
    path = tmp_path / "e"
    write(path, [1.0, 2.0, 3.0, 4.0])
    log = write(path, [3.0, 9.0, 10.0], position=2)
    assert values(path) == [1.0, 2.0, 3.0, 9.0, 10.0]
    assert len(path.read_text().splitlines()) == 1 + 4 + 1 + 2
    assert log.position == 5
    assert write(path, [10.0, 11.0], position=4).position == 6
    assert values(path) == [1.0, 2.0, 3.0, 9.0, 10.0, 11.0]


def earlier_log(path):
    """What an earlier version had logged of a run when it was killed within its second evaluation."""
    lines = [
        line(0, "evaluation", env_steps=0, grid_step=0, episode=0, **{"return": 0.1}, length=5, success=None),
        line(1, "evaluation", env_steps=0, grid_step=0, episode=1, **{"return": 0.2}, length=5, success=None),
        line(2, "scalars", env_steps=10, epoch=1, group="a", values={"x": 0.123456789}),
        line(3, "scalars", env_steps=10, epoch=1, group="b", values={"x": 4.0}),
        line(
            4, "evaluation", env_steps=10, grid_step=10, episode=0, **{"return": 0.3}, length=5, success=None
        ),
    ]
    path.write_text("".join(lines))


def go_on(path, position, loss):
    """The same run from its first checkpoint, or its beginning, to its end."""
    log = EventLog(path, position)
    if position == 0:
        log.evaluation(
            0.0,
            [{"return": value, "length": 5, "success": None} for value in (0.1, 0.2)],
            env_steps=0,
            grid_step=0,
        )
    log.scalars(0.0, {"env_steps": 10, "epoch": 1}, {"a": {"x": loss}, "b": {"x": 4.0}})
    log.evaluation(
        0.0,
        [{"return": value, "length": 5, "success": None} for value in (0.3, 0.4)],
        env_steps=10,
        grid_step=10,
    )
    log.close()
    return log


@pytest.mark.parametrize("position", [0, 2])
def test_a_log_that_an_earlier_version_began_is_read_and_goes_on(tmp_path, position):
    path = tmp_path / "mixed"
    earlier_log(path)
    assert [event["kind"] for event in read_events(path)] == [
        "evaluation",
        "evaluation",
        "scalars",
        "scalars",
        "evaluation",
    ]
    old = path.read_text()
    assert go_on(path, position, 0.123456789).position == 6
    go_on(tmp_path / "new", 0, 0.123456789)
    mixed, new = without_clock(read_events(path)), without_clock(read_events(tmp_path / "new"))
    assert mixed[2]["values"] == {"x": 0.123456789}  # its lines stay, with all digits
    mixed[2]["values"] = new[2]["values"]
    assert mixed == new
    assert path.read_text().startswith(old)
    assert [json.loads(text)["seq"] for text in path.read_text()[len(old) :].splitlines()] == [
        5,
        6,
    ]  # a rewind to 4, and the evaluation


def test_another_number_than_an_earlier_version_logged_supersedes_it(tmp_path):
    path = tmp_path / "mixed"
    earlier_log(path)
    go_on(path, 2, 0.9)
    go_on(tmp_path / "new", 0, 0.9)
    assert without_clock(read_events(path)) == without_clock(read_events(tmp_path / "new"))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(min_value=0, max_value=200))
def test_every_prefix_of_a_log_is_a_log_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("events") / "e"
    write(path, [1.0, 2.0, 3.0, 4.0])
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    complete = max(0, content[:cut].count(b"\n") - 1)  # the first line is that of the columns
    assert values(path) == [1.0, 2.0, 3.0, 4.0][:complete]
    write(path, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert values(path) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (
        path.read_bytes()[: min(cut, content[:cut].rfind(b"\n") + 1)]
        == content[: content[:cut].rfind(b"\n") + 1]
    )


COLUMNS = '{"seq":0,"kind":"columns","number":0,"place":["env_steps"],"groups":{"g":["x"]}}'
NO_EVENTS = [
    "no json", "7", "null", '{"seq": 7, "kind": "scalars"}', '{"seq": 1}', "", "[]", "[1,5,1.0,2.0]",
    "[-1,5,1.0,2.0]", "[0,5,1.0]", "[0,5,1.0,2.0,3.0]", '["0",5,1.0,2.0]',
    '{"seq":1,"kind":"columns","number":0,"place":[],"groups":{}}', "[" * 100_000,
    '{"seq":1,"kind":"evaluation","return":[1.0,2.0],"length":[1]}', '{"seq":1,"kind":"rewind"}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_EVENTS)
def test_a_line_that_is_no_event_is_named(tmp_path, text):
    (tmp_path / "e").write_text(f"{COLUMNS}\n{text}\n[0,5,1.0,2.0]\n")
    with pytest.raises(UserError, match="Line 2 of .*e is not event 1"):
        read_events(tmp_path / "e")


def test_a_log_shorter_than_its_checkpoint_is_refused(tmp_path):
    write(tmp_path / "e", [1.0])
    with pytest.raises(UserError, match="holds 1 events where the checkpoint has seen 3"):
        EventLog(tmp_path / "e", 3)


def test_no_log_is_an_empty_log(tmp_path):
    assert read_events(tmp_path / "absent") == []


def test_events_of_one_kind_are_those_among_all(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        line(0, "scalars", env_steps=0, group="loss", values={"kind": "evaluation"})
        + line(1, "evaluation", env_steps=0, grid_step=0, episode=0, **{"return": 0.5})
    )
    log = EventLog(path, 2)
    for step in range(6):
        log.scalars(0.0, {"env_steps": step}, {"loss": {"evaluation": step / 3}})
        log.evaluation(0.0, [{"return": 1.0}], env_steps=step, grid_step=step)
    log.close()
    log = EventLog(path, 7)
    log.evaluation(
        0.0, [{"return": 2.0}], env_steps=2, grid_step=2
    )  # not as before: supersedes all from there
    log.evaluation(0.0, [{"return": 3.0}], env_steps=3, grid_step=3)
    log.close()
    with path.open("a") as file:
        file.write(
            '{"kind": "evaluation", "seq": 18, "return": 4.0}\n'
        )  # in another order than ours, but in order
    everything = read_events(path)
    chosen = parse_events(path.read_bytes(), "log", kind="evaluation")
    assert chosen == [event for event in everything if event["kind"] == "evaluation"]
    assert [event["return"] for event in chosen] == [0.5, 1.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "text",
    [
        '{"seq": 1, "kind": "scalars", "val',
        '{"seq": 7, "kind": "scalars"}',
        '{"kind": "scalars"}',
        "not json",
        "",
        "[0,5,1.0",
    ],
)
def test_a_torn_or_foreign_line_is_refused_also_where_its_kind_is_not_asked_for(text):
    lines = ['{"seq": 0, "kind": "evaluation"}', text, '{"seq": 2, "kind": "evaluation"}']
    with pytest.raises(UserError, match=r"Line 2 of place/events\.jsonl is not event 1 of a run\."):
        parse_events("".join(f"{text}\n" for text in lines).encode(), "place/events.jsonl", kind="evaluation")


EVIDENCE = Path(__file__).parents[2] / "benchmarks/evidence"


@pytest.mark.parametrize(
    ("recorded", "epochs"),
    [("baselines-halfcheetah/happo/seed-1", 250), ("halfcheetah-cpu/seed-1", 1000)],
    ids=["happo", "dima"],
)
def test_the_log_of_a_million_steps_stays_below_150_kilobytes_and_packed_below_36(tmp_path, recorded, epochs):
    """Numbers like those of a recorded run, evaluated 101 times in ten episodes; what is logged comes back.

    A packed cell may take 40 kB; configuration, provenance and summary take 4 of them.
    """
    random = Random(0)
    groups: dict[int, dict[str, dict[str, float]]] = {}
    for event in read_events(EVIDENCE / recorded / "events.jsonl"):  # of an earlier version
        if event["kind"] == "scalars":
            groups.setdefault(event["epoch"], {})[event["group"]] = event["values"]
    log = EventLog(tmp_path / "e")
    log.evaluation(
        0.0,
        [{"return": random.gauss(0, 1), "length": 1000, "success": None} for _ in range(10)],
        env_steps=0,
        grid_step=0,
    )
    logged = []
    for epoch, numbers in zip(range(1, epochs + 1), cycle(groups.values()), strict=False):
        seconds, steps = 40_000 / epochs * epoch, 1_000_000 // epochs * epoch
        values = {
            group: {
                name: value if value.is_integer() else value * random.uniform(0.7, 1.4)
                for name, value in named.items()
            }
            for group, named in (
                (group, {name: float(value) for name, value in named.items()})
                for group, named in numbers.items()
            )
        }
        log.scalars(seconds, {"env_steps": steps, "epoch": epoch}, values)
        logged += [value for named in values.values() for value in named.values()]
        if steps // 10_000 > (steps - 1_000_000 // epochs) // 10_000:
            episodes = [
                {"return": random.gauss(3000, 500), "length": random.randint(900, 1000), "success": None}
                for _ in range(10)
            ]
            log.evaluation(seconds, episodes, env_steps=steps, grid_step=steps // 10_000 * 10_000)
    log.close()
    events = read_events(tmp_path / "e")
    assert [
        value for event in events if "values" in event for value in event["values"].values()
    ] == pytest.approx(logged, rel=5.1e-3)
    assert sum(event["kind"] == "evaluation" for event in events) == 1010
    assert (tmp_path / "e").stat().st_size < 150_000
    assert (
        len(pack_cells("paper", {"task/method/seed-1": {"events.jsonl": (tmp_path / "e").read_bytes()}}))
        < 36_000
    )
