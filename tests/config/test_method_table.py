"""The table of methods says what their files say, and stands in the README."""

from __future__ import annotations

import re

import pytest
from conftest import CONFIG, ROOT

from dima.baselines.harl_learner import HarlLearner
from dima.cli import main
from dima.config import method_table
from dima.config.grid import CellKey, load_grid, plain_grid
from dima.config.method_files import method_summaries
from dima.config.registry import LEARNERS, load
from dima.config.yaml_file import read_yaml
from dima.errors import UserError

PAPERS = ["dima", "hasac", "mamba", "mappo", "marie", "happo"]
CHECKOUTS = {
    "mappo-checkout": "HARL",
    "happo-checkout": "HARL",
    "hasac-checkout": "HARL",
    "marie-checkout": "MARIE",
}


def rows() -> dict[str, dict[str, str]]:
    """The README's table by method."""
    header, _, *lines = (line for line in method_table.markdown().splitlines() if line.startswith("|"))
    cells = [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in (header, *lines)]
    return {name: dict(zip(cells[0], [name, *rest], strict=True)) for name, *rest in cells[1:]}


def test_the_readme_carries_the_table() -> None:
    readme = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    found = re.findall(r"<!-- methods -->\n(.*?)\n<!-- /methods -->", readme, re.DOTALL)
    assert found == [method_table.markdown()], (
        "run `dima methods --markdown` and put its output between the markers"
    )


def test_it_holds_the_papers_methods_and_every_variant_once() -> None:
    assert sorted(rows()) == sorted([*PAPERS, *CHECKOUTS])
    names = [path.stem for path in (CONFIG / "methods").glob("*.yaml")]
    variants = re.findall(r"^- `([a-z-]+)`: ", method_table.markdown(), re.MULTILINE)
    assert sorted([*rows(), *variants]) == sorted(names)
    assert all(name.startswith("dima-") for name in variants)


def test_it_says_what_runs() -> None:
    """Engines are those of the learners; where HARL runs, its wheel, version and licence are named."""
    for name, row in rows().items():
        if name in CHECKOUTS:
            continue
        parameters = (
            plain_grid(["push-mass"], [name], (1,), CONFIG).resolve(CellKey("push-mass", name, 1)).parameters
        )
        learner = load(LEARNERS[type(parameters)])
        assert issubclass(learner, HarlLearner) == (row["engine"] == "harl")
        assert (
            ("harl-aht 0.1.0" in row["source"])
            == ("Apache-2.0" in row["licence of what is run"])
            == (row["engine"] == "harl")
        )
        assert row["suites"] == "all"
        assert "bit for bit" in row["a killed cell continues from"]


def test_another_engine_has_a_row_of_its_own() -> None:
    """Though the name and `extends` are those of a variant."""
    for name, upstream in CHECKOUTS.items():
        row = rows()[name]
        assert (row["engine"], row["suites"], row["a killed cell continues from"]) == (
            "checkout",
            "mamujoco",
            "nothing, it begins again",
        )
        commit = read_yaml(CONFIG / f"methods/{name}.yaml")["parameters"]["commit"]
        assert (
            row["source"]
            == f"a user's own checkout of {upstream} (`DIMA_{upstream}_CHECKOUT`) at {commit}, unmodified"
        )
        assert f"\n{name}\n  engine: checkout\n" in method_table.plain_text()


def test_a_method_that_extends_another_says_its_own_deviations() -> None:
    found = {method.name: method.about for method in method_summaries(CONFIG)}
    assert found["happo"].source == found["mappo"].source
    assert found["happo"].deviations != found["mappo"].deviations


def test_the_command_prints_it(workplace, capsys) -> None:
    assert main(["methods", "--markdown"]) == 0
    assert capsys.readouterr().out == f"{method_table.markdown(CONFIG)}\n"
    assert main(["methods"]) == 0
    text = capsys.readouterr().out
    assert "\nmappo\n  engine: harl\n" in text
    assert "\ndima-joint: dima, but the paper's ablation" in text


def test_a_cell_that_its_method_cannot_run_is_refused(workplace, capsys) -> None:
    path = workplace / "workflow/config/methods/mamba.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("about:\n", "about:\n  suites: [toy, mamujoco]\n")
    )
    sentence = "Method mamba does not run on pen of suite bidexhands; it runs on toy, mamujoco."
    with pytest.raises(UserError, match=re.escape(sentence)):
        load_grid("paper").resolve(CellKey("pen", "mamba", 1))
    load_grid("paper").resolve(CellKey("ant-2x4", "mamba", 1))
    assert main(["train", "--grid", "paper", "--task", "pen", "--method", "mamba", "--seed", "1"]) == 2
    assert capsys.readouterr().err == f"dima: {sentence}\n"
    assert not (workplace / "results").exists()


def test_a_method_that_says_nothing_of_itself_is_refused(workplace) -> None:
    path = workplace / "workflow/config/methods/mamba.yaml"
    path.write_text(
        re.sub(
            r"\nabout:.*?\nparameters:", "\nparameters:", path.read_text(encoding="utf-8"), flags=re.DOTALL
        )
    )
    with pytest.raises(
        UserError, match=r"The configuration key 'source' is missing \(about in methods/mamba.yaml\)"
    ):
        load_grid("paper").resolve(CellKey("ant-2x4", "mamba", 1))
