"""The event log: torn lines, repetition after a resume, superseded lines."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dima.errors import UserError
from dima.record.events import EventLog, parse_events, read_events


def write(path, values, position=0):
    log = EventLog(path, position)
    for value in values:
        log.write("scalars", 1.0, values={"x": value})
    log.close()
    return log


def values(path):
    return [event["values"]["x"] for event in read_events(path)]


def test_events_are_numbered_lines(tmp_path):
    log = write(tmp_path / "events.jsonl", [0.5, 1.5])
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert lines == [
        {"seq": 0, "kind": "scalars", "values": {"x": 0.5}, "wall_seconds": 1.0},
        {"seq": 1, "kind": "scalars", "values": {"x": 1.5}, "wall_seconds": 1.0},
    ]
    assert log.position == 2


def test_numbers_that_are_not_finite_are_null(tmp_path):
    write(tmp_path / "e", [math.nan, math.inf, 1.0])
    assert values(tmp_path / "e") == [None, None, 1.0]


def test_a_run_that_repeats_itself_writes_nothing_twice(tmp_path):
    path = tmp_path / "e"
    write(path, [1.0, 2.0, 3.0, 4.0])
    before = path.read_text()
    log = write(path, [3.0, 4.0, 5.0], position=2)
    assert path.read_text().startswith(before)
    assert values(path) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [event["seq"] for event in read_events(path)] == [0, 1, 2, 3, 4]
    assert log.position == 5


def test_a_run_that_does_not_repeat_itself_supersedes_the_old_lines(tmp_path):
    path = tmp_path / "e"
    write(path, [1.0, 2.0, 3.0, 4.0])
    log = write(path, [3.0, 9.0, 10.0], position=2)
    assert values(path) == [1.0, 2.0, 3.0, 9.0, 10.0]
    assert len(path.read_text().splitlines()) == 4 + 1 + 2
    assert log.position == 5
    assert write(path, [10.0, 11.0], position=4).position == 6
    assert values(path) == [1.0, 2.0, 3.0, 9.0, 10.0, 11.0]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(min_value=0, max_value=400))
def test_every_prefix_of_a_log_is_a_log_and_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("events") / "e"
    write(path, [1.0, 2.0, 3.0, 4.0])
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    complete = content[:cut].count(b"\n")
    assert values(path) == [1.0, 2.0, 3.0, 4.0][:complete]
    write(path, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert values(path) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert path.read_bytes()[: min(cut, content[:cut].rfind(b"\n") + 1)] == content[: content[:cut].rfind(b"\n") + 1]


@pytest.mark.parametrize("line", ["no json", "[]", '{"seq": 7, "kind": "scalars"}', '{"seq": 1}', ""])
def test_a_line_that_is_no_event_is_named(tmp_path, line):
    path = tmp_path / "e"
    write(path, [1.0])
    path.write_text(path.read_text() + line + "\n" + '{"seq": 2, "kind": "scalars"}\n')
    with pytest.raises(UserError, match="Line 2 of .*e is not event 1"):
        read_events(path)


def test_a_log_shorter_than_its_checkpoint_is_refused(tmp_path):
    write(tmp_path / "e", [1.0])
    with pytest.raises(UserError, match="holds 1 events where the checkpoint has seen 3"):
        EventLog(tmp_path / "e", 3)


def test_no_log_is_an_empty_log(tmp_path):
    assert read_events(tmp_path / "absent") == []


def test_events_of_one_kind_are_those_among_all(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for step in range(6):
        log.write("scalars", 0.0, env_steps=step, group="loss", values={"kind": "evaluation", "value": step / 3})
        log.write("evaluation", 0.0, env_steps=step, **{"return": 1.0})
    log.close()
    log = EventLog(path, 5)
    log.write("evaluation", 0.0, env_steps=2, **{"return": 2.0})  # not as before: supersedes all from there
    log.write("evaluation", 0.0, env_steps=3, **{"return": 3.0})
    log.close()
    with path.open("a") as file:
        file.write('{"kind": "evaluation", "seq": 15, "return": 4.0}\n')  # in another order than ours, but in order
    everything = read_events(path)
    chosen = parse_events(path.read_bytes(), "log", kind="evaluation")
    assert chosen == [event for event in everything if event["kind"] == "evaluation"]
    assert [event["return"] for event in chosen] == [1.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "line", ['{"seq": 1, "kind": "scalars", "val', '{"seq": 7, "kind": "scalars"}', '{"kind": "scalars"}', "not json", ""]
)
def test_a_torn_or_foreign_line_is_refused_also_where_its_kind_is_not_asked_for(line):
    lines = ['{"seq": 0, "kind": "evaluation"}', line, '{"seq": 2, "kind": "evaluation"}']
    with pytest.raises(UserError, match=r"Line 2 of place/events\.jsonl is not event 1 of a run\."):
        parse_events("".join(f"{text}\n" for text in lines).encode(), "place/events.jsonl", kind="evaluation")
