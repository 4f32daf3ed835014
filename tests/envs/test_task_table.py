"""The table of tasks says what the environments say, and is in the README."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

import envs
from envs import task_table
from envs.registry import Engine, Registration

ROOT = Path(envs.__file__).parents[1]


def cells(line: str) -> list[str]:
    return [cell.strip(" `") for cell in line.strip("|").split("|")]


def test_the_readme_carries_the_table() -> None:
    readme = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
    found = re.findall(r"<!-- tasks -->\n(.*?)\n<!-- /tasks -->", readme, re.DOTALL)
    assert found == [task_table.markdown()], (
        "run `dima tasks --markdown` and put its output between the markers"
    )


def test_every_row_is_what_its_environment_says() -> None:
    header, _, *rows = task_table.markdown().split("\n\n")[0].splitlines()
    found = [dict(zip(cells(header), cells(row), strict=True)) for row in rows]
    assert [(row["task"], row["preset"]) for row in found] == [
        (task, preset) for task, registration in envs.TASKS.items() for preset in registration.presets
    ]
    for row in found:
        spec = envs.make(row["task"], preset=row["preset"]).spec
        numbers = [int(row[name]) for name in ("agents", "observation", "state", "action", "steps")]
        assert numbers == [spec.n_agents, spec.obs_dim, spec.state_dim, spec.act_dim, spec.episode_limit]
        assert (row["suite"], row["lineage"]) == (spec.suite, spec.lineage)
        assert row["engine"].split(", ")[0] == spec.engine


def test_the_text_says_the_same_in_columns() -> None:
    lines = task_table.plain_text().split("\n\n")[0].splitlines()
    table = [re.split(r" {2,}", line) for line in lines]
    markdown = task_table.markdown().split("\n\n")[0].splitlines()
    assert table == [cells(line) for number, line in enumerate(markdown) if number != 1]
    ends = {
        line.index(row[7]) + len(row[7])
        for line, row in zip(lines[1:], table[1:], strict=True)
        if len(row[7]) == 4
    }
    assert len(ends) == 1  # numbers are aligned


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "envs.mamujoco", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    text = task_table.plain_text().splitlines()
    assert any(
        re.fullmatch(r"halfcheetah-2x3 +paper +mamujoco +not installed: pip install -e '\.\[mujoco\]'", line)
        for line in text
    )
    assert (
        "| `halfcheetah-2x3` | paper | mamujoco | not installed: pip install -e '.[mujoco]' |"
        "  |  |  |  |  |  |" in task_table.markdown()
    )
    assert any(line.startswith("push-mass") and line.endswith("push-mass-v1 (closed form)") for line in text)


def test_other_engines_and_caveats_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = Engine("envs.push_mass:PushMass", caveat="a toy")
    other = Engine("nowhere:Nothing", caveat="not run by us")
    toys = {
        name: Registration("toy", {"numpy": numpy, "other": other}) for name in ("push-mass", "pull-mass")
    }
    monkeypatch.setattr(task_table, "TASKS", MappingProxyType({"push-mass": toys["push-mass"]}))
    assert "  numpy, other (not run by us)  " in task_table.plain_text()
    assert task_table.plain_text().endswith("\n\npush-mass in numpy: a toy")
    assert task_table.markdown().endswith("|\n\n- push-mass in numpy: a toy")
    monkeypatch.setattr(task_table, "TASKS", MappingProxyType(toys))
    assert task_table._caveats() == ["push-mass, pull-mass in numpy: a toy"]


def test_isaac_gym_is_labelled_wherever_it_is_listed() -> None:
    for text in (task_table.plain_text(), task_table.markdown()):
        assert (
            text.count("isaacgym")
            == text.count("isaacgym (preset paper; not run against Isaac Gym by us)")
            == 8
        )
