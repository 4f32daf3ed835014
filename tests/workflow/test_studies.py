"""Studies of the cells with a world model: what is planned, and that it runs over stand-in cells."""

from __future__ import annotations

import pytest

QUICK = """experiments:
  final_returns:
    - {tasks: [push-mass], methods: [dima, dima-joint, mappo], seeds: [1, 2]}
    - {tasks: [halfcheetah-2x3], methods: [mappo], seeds: [1]}
"""
DRAWN = """experiments:
  final_returns:
    - {tasks: [halfcheetah-2x3], methods: [dima, mamba, marie, mappo], seeds: [1]}
    - {tasks: [halfcheetah-2x3, push-mass], methods: [mamba], seeds: [2]}
"""
CELLS = [
    f"results/quick/cells/push-mass/{method}/seed-{seed}"
    for method in ("dima", "dima-joint")
    for seed in (1, 2)
]
STUDIES = ("calibration", "gain", "orders", "prediction")
GAIN = "results/quick/studies/push-mass/gain.csv"


def test_a_study_over_seeds_takes_the_cells_of_the_task_that_have_a_world_model(stage) -> None:
    stage.write("quick.yaml", QUICK)
    assert stage.planned(GAIN) == sorted([*CELLS, *["study"] * 4, "study_over_seeds"])
    assert stage.planned("results/quick/studies/push-mass/gain.svg") == stage.planned(GAIN)
    assert stage.planned(f"{CELLS[3]}/studies/frames.npz") == [
        "frames",
        CELLS[3],
        CELLS[1],
    ]  # the policy of dima acts


def test_studies_of_a_grid_are_everything_and_nobody_is_given_them_unasked(stage) -> None:
    stage.write("quick.yaml", QUICK)
    studies = (
        ["study"] * len(CELLS) * len(STUDIES) + ["study_over_seeds"] * len(STUDIES) + ["frames"] * len(CELLS)
    )
    assert stage.planned("quick_studies") == sorted([*CELLS, *studies, "quick_studies"])
    assert not {"study", "study_over_seeds", "frames"} & set(stage.planned("quick"))


@pytest.mark.slow
def test_frames_are_of_every_world_model_that_can_be_drawn_and_ask_for_the_cell_that_acts_in_them(
    stage,
) -> None:
    stage.write("quick.yaml", DRAWN)
    cells = {
        name: f"results/quick/cells/halfcheetah-2x3/{name}"
        for name in ("dima/seed-1", "mamba/seed-1", "marie/seed-1", "mamba/seed-2")
    }
    for name in ("mamba/seed-1", "marie/seed-1"):
        assert stage.planned(f"{cells[name]}/studies/frames.npz") == sorted(
            ["frames", cells["dima/seed-1"], cells[name]]
        )
    for name in ("dima/seed-1", "mamba/seed-2"):  # of seed 2 there is no DIMA
        assert stage.planned(f"{cells[name]}/studies/frames.npz") == ["frames", cells[name]]
    jobs = ["study"] * len(STUDIES) + ["study_over_seeds"] * len(STUDIES) + ["frames"] * len(cells)
    assert stage.planned("quick_studies") == sorted([*cells.values(), *jobs, "quick_studies"])


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "halfcheetah-2x3/mamba/seed-1/studies/gain.csv",
            "Method mamba has no study gain, since its world model predicts no global states; it has frames",
        ),
        (
            "push-mass/mamba/seed-2/studies/frames.npz",
            "The frames of mamba are drawn from predicted observations, and those of push-mass",
        ),
        ("halfcheetah-2x3/mappo/seed-1/studies/frames.npz", "Method mappo has no world model to study."),
    ],
)
def test_frames_that_cannot_be_drawn_and_studies_that_there_are_not_are_refused(
    stage, target: str, sentence: str
) -> None:
    stage.write("quick.yaml", DRAWN)
    result = stage.snakemake("--cores", "1", f"results/quick/cells/{target}")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith(sentence)


@pytest.mark.slow
def test_studies_run_once_and_again_for_a_cell_that_was_made_again(stage) -> None:
    stage.write("quick.yaml", QUICK)
    result = stage.snakemake("--cores", "2", "quick_studies")
    assert result.returncode == 0, result.stderr
    made = sorted(path.name for path in (stage.folder / GAIN).parent.iterdir())
    assert made == sorted(f"{study}.{ending}" for study in STUDIES for ending in ("csv", "pdf", "png", "svg"))
    assert (
        "dima-joint,descending,1,2,gain,2/2,0.9,0.9,0.9,minimum to maximum over seeds"
        in (stage.folder / GAIN).read_text().splitlines()
    )
    assert "Figure: results/quick/studies/push-mass/gain.png" in result.stdout
    assert all((stage.folder / cell / "studies/frames.npz").exists() for cell in CELLS)
    assert "Nothing to be done" in stage.snakemake("--cores", "1", "quick_studies").stderr

    (stage.folder / CELLS[1] / "summary.json").unlink()
    again = [
        CELLS[1],
        "frames",
        "frames",
        "quick_studies",
        *["study"] * len(STUDIES),
        *["study_over_seeds"] * len(STUDIES),
    ]
    assert stage.planned("quick_studies") == sorted(again)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "results/quick/cells/push-mass/mappo/seed-1/studies/gain.csv",
            "Method mappo has no world model to study.",
        ),
        (
            "results/quick/cells/push-mass/dima/seed-9/studies/frames.npz",
            "Unknown seed '9' for push-mass/dima in grid quick",
        ),
        (
            "results/quick/studies/push-mas/gain.csv",
            "Unknown task 'push-mas' in grid quick, perhaps 'push-mass'",
        ),
        ("results/qick/studies/push-mass/gain.csv", "Unknown grid 'qick', perhaps 'quick'"),
        (
            "results/quick/studies/halfcheetah-2x3/gain.csv",
            "No method on halfcheetah-2x3 in grid quick has a world model to study.",
        ),
        ("results/quick/studies/push-mass/gains.csv", "No rule to produce"),
    ],
)
def test_what_cannot_be_studied_is_refused_in_one_sentence(stage, target: str, sentence: str) -> None:
    stage.write("quick.yaml", QUICK)
    result = stage.snakemake("--cores", "1", target)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith(sentence)
    assert not (stage.folder / "results").exists()
