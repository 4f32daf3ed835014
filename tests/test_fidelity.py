"""The page that says what is from where: its tables name code and tests that exist, and every default with
its present value."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import CONFIG, ROOT

from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid, merge, validate
from dima.config.yaml_file import read_yaml

PAGE = ROOT / "docs" / "fidelity.md"
SETTING = re.compile(r"`([a-z_][\w.-]*): ([^`]+)`")
PLACE = re.compile(r"`([\w./-]+\.(?:py|yaml))(?:::([\w.]+))?`")
METHOD = re.compile(r"method `([\w-]+)`")
HOLDS_DEFAULTS = ("statement", "chosen")
VARIANTS = {
    path.stem for path in (CONFIG / "methods").glob("*.yaml") if read_yaml(path).get("extends") == "dima"
}


class Row(NamedTuple):
    """One row of one table, by the names of its columns."""

    line: int
    cells: dict[str, str]


def rows() -> list[Row]:
    found: list[Row] = []
    columns: list[str] = []
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        if not columns:
            columns = cells
        elif set("".join(cells)) != {"-"}:
            assert len(cells) == len(columns), (
                f"line {number} has {len(cells)} cells, its table {len(columns)} columns"
            )
            found.append(Row(number, dict(zip(columns, cells, strict=True))))
    return found


ROWS = rows()


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def defaults() -> dict[str, Any]:
    content = read_yaml(CONFIG / "methods/dima.yaml")
    content.pop("about")  # words about the method, no setting
    return dict(leaves(content.pop("parameters"))) | dict(leaves(content))


def settings(columns: tuple[str, ...]) -> Iterator[tuple[int, str, Any]]:
    for row in ROWS:
        for column in columns:
            for key, value in SETTING.findall(row.cells.get(column, "")):
                yield row.line, key, yaml.safe_load(value)


@cache
def names_in(path: str) -> set[str]:
    """Everything that the module defines, members with the name of their class before them."""
    found: set[str] = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    collect(ast.parse((ROOT / path).read_text(encoding="utf-8")).body, "")
    return found


def test_there_are_tables_to_look_at() -> None:
    assert len(ROWS) > 100
    assert {tuple(row.cells)[-2:] for row in ROWS} == {("code", "test")}
    assert {"RewardModel", "RewardModel.loss", "INITIAL_STD"} <= names_in("dima/world_model/reward_model.py")


def test_no_cell_is_empty() -> None:
    assert [
        (row.line, column) for row in ROWS for column, cell in row.cells.items() if not re.search(r"\w", cell)
    ] == []


@pytest.mark.parametrize("column", ["code", "test"])
def test_every_place_exists(column: str) -> None:
    missing = []
    for row in ROWS:
        places = PLACE.findall(row.cells[column])
        if not places:
            missing.append((row.line, "no place"))
        for path, name in places:
            if not (ROOT / path).is_file():
                missing.append((row.line, path))
            elif path.endswith(".py") and name not in names_in(path):
                missing.append((row.line, f"{path}::{name}"))
    assert missing == []


def test_tests_are_named_as_tests_and_code_as_code() -> None:
    tests = [place for row in ROWS for place in PLACE.findall(row.cells["test"])]
    assert [
        place for place in tests if not (place[0].startswith("tests/") and place[1].startswith("test_"))
    ] == []
    assert [
        path for row in ROWS for path, _ in PLACE.findall(row.cells["code"]) if path.startswith("tests/")
    ] == []


def test_every_default_stands_on_the_page_with_its_value() -> None:
    """Where the page and the file differ, one of them is out of date; no default is left out, and none is
    told with an older value."""
    expected = defaults()
    told = list(settings(HOLDS_DEFAULTS))
    assert [
        (line, key, value) for line, key, value in told if key not in expected or value != expected[key]
    ] == []
    assert expected.keys() - {key for _, key, _ in told} == set()


def test_every_alternative_can_be_configured_and_is_another() -> None:
    """On HalfCheetah-2x3 and BottleCap, one at a time."""
    grid = load_grid("paper", CONFIG)
    checked = 0
    for task in ("halfcheetah-2x3", "bottle-cap"):
        cell = grid.resolve(CellKey(task, "dima", 1)).model_dump(mode="json")
        cell["task"]["comparable_with_paper"] = False
        for line, key, value in settings(("alternatives",)):
            nested: Any = value
            for part in reversed(key.split(".")):
                nested = {part: nested}
            changed = merge(cell, nested if key.startswith("task.") else {"parameters": nested})
            assert validate(CellConfig, changed, f"line {line}") != validate(CellConfig, cell, "unchanged"), (
                f"line {line}: {key}"
            )
            checked += 1
    assert checked > 50


def test_every_ambiguity_has_its_row() -> None:
    numbers = [row.cells["#"] for row in ROWS if "#" in row.cells]
    assert [number for number in numbers if re.fullmatch(r"A\d+", number)] == [
        f"A{number}" for number in range(1, 26)
    ]
    assert {"X1", "X2", "X3", "O1", "O4"} <= set(numbers)


def test_every_variant_is_named_and_every_named_variant_exists() -> None:
    """With the value that its file sets in the same cell."""
    named: set[str] = set()
    for row in ROWS:
        cell = row.cells.get("alternatives", "")
        for method in METHOD.findall(cell):
            named.add(method)
            said = dict(leaves(read_yaml(CONFIG / "methods" / f"{method}.yaml")["parameters"]))
            told = {key: yaml.safe_load(value) for key, value in SETTING.findall(cell)}
            assert [key for key in told if said.get(key) == told[key]], (
                f"line {row.line}: {method} sets {said}"
            )
    assert named == VARIANTS
