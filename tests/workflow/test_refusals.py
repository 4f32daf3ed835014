"""What cannot run is refused in one sentence, before anything is written."""

from __future__ import annotations

import pytest

METHOD_WITH_A_TYPO = "extends: dima\nparameters: {behavior: {horizn: 15}}\n"


def refusal(stage, *arguments: str) -> str:
    """The last line that Snakemake prints when it refuses."""
    result = stage.snakemake("--cores", "1", *arguments)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert not (stage.folder / "results").exists()
    return result.stderr.splitlines()[-1]


def cell(grid: str = "quick", task: str = "push-mass", method: str = "dima", seed: str = "1") -> str:
    return f"results/{grid}/cells/{task}/{method}/seed-{seed}/summary.json"


def test_what_does_not_exist_yet_is_named_with_what_does(stage) -> None:
    stage.write(
        "tasks/catch-underarm.yaml",
        (stage.folder / "workflow/config/tasks/pen.yaml").read_text(encoding="utf-8"),
    )
    block = "{tasks: [push-mass, catch-underarm], methods: [dima, dreamer], seeds: [1]}"
    stage.write("paper.yaml", f"experiments: {{final_returns: [{block}]}}\n")
    stage.write(
        "quick.yaml", "experiments: {final_returns: [{tasks: [push-mass], methods: [dima], seeds: [1]}]}\n"
    )
    sentence = refusal(stage, "all")
    assert sentence.startswith(
        "Nothing was run: there is no task catch-underarm and no method dreamer yet; the tasks are "
    )
    assert "push-mass" in sentence.partition("the tasks are ")[2]
    methods = sentence.partition("the methods ")[2].removesuffix(".").split(", ")
    assert "dima" in methods
    assert "dreamer" not in methods
    assert (
        len(stage.planned("all")) == 4 + 4
    )  # a dry run still lists all cells, and the tables, figures, report and `all`


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (cell(grid="qick"), "Unknown grid 'qick', perhaps 'quick'"),
        (cell(task="push-mas"), "Unknown task 'push-mas' in grid quick, perhaps 'push-mass'"),
        (
            cell(method="dima-join"),
            "Unknown method 'dima-join' for push-mass in grid quick, perhaps 'dima-joint'",
        ),
        (cell(seed="9"), "Unknown seed '9' for push-mass/dima in grid quick"),
    ],
)
def test_a_misspelt_cell_is_refused_with_the_choices(stage, target: str, sentence: str) -> None:
    assert refusal(stage, target).startswith(sentence)


@pytest.mark.parametrize(
    "target", [cell(task="$(touch results)"), cell(method="dima;touch results"), cell(seed="01")]
)
def test_a_name_of_another_form_matches_no_rule(stage, target: str) -> None:
    assert refusal(stage, target).startswith("No rule to produce")


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        ("quick.yaml", "experimnts: {}\n", "Unknown configuration key 'experimnts' (quick.yaml)"),
        (
            "methods/dima-joint.yaml",
            METHOD_WITH_A_TYPO,
            "Unknown configuration key 'parameters.behavior.horizn'",
        ),
        ("tasks/push-mass.yaml", "label: [\n", "workflow/config/tasks/push-mass.yaml cannot be read as YAML"),
    ],
)
def test_configuration_that_is_not_in_order_is_refused(stage, path: str, text: str, sentence: str) -> None:
    stage.write(path, text)
    assert refusal(stage, "quick").startswith(sentence)
