"""The figures of world models: what is shown, boxed and averaged, what is refused, and that missing things
are named in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from elsewhere import assert_same_bytes_elsewhere
from made_frames import frame_arrays, frames_bytes, write_frames
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from dima.analysis.figures.pictures import imagination_figure, order_figure
from dima.analysis.figures.style import style
from dima.analysis.figures.write import write_figures
from dima.analysis.paths import (
    figure_names,
    figure_paths,
    pictured_studies,
    prediction_studies,
    table_names,
    tasks_by_suite,
)
from dima.analysis.records.files import FileRecords
from dima.analysis.records.load import load_cells
from dima.analysis.results import GridResults
from dima.analysis.studies.frames import read_frames
from dima.analysis.studies.pictured_cells import ordered_methods, pictured_cells
from dima.analysis.studies.points import Interval
from dima.analysis.tables.write import write_tables
from dima.cli import main
from dima.config.grid import CellKey, Grid, load_grid
from dima.errors import UserError

CONFIG = Path(__file__).parents[2] / "workflow/config"
RED, GREY = "#cc3311", "#bbbbbb"


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """Two figures of push-mass in the project's own configuration, beside a table of returns."""
    return make(
        tmp_path,
        imagination=[(["push-mass"], ["dima", "dima-joint", "mamba"], [1, 2])],
        agent_order=[(["push-mass"], ["dima"], [1, 2, 3, 4])],
        final_returns=[(["push-mass"], ["dima", "mappo"], [1, 2, 3, 4])],
    )


def make(folder: Path, **experiments: Any) -> Grid:
    config = folder / "config"
    config.mkdir(exist_ok=True)
    for part in ("tasks", "methods"):
        if not (config / part).exists():
            (config / part).symlink_to(CONFIG / part)
    blocks = {
        name: [dict(zip(("tasks", "methods", "seeds"), part, strict=True)) for part in parts]
        for name, parts in experiments.items()
    }
    (config / "trial.yaml").write_text(yaml.safe_dump({"experiments": blocks}), encoding="utf-8")
    return load_grid("trial", config)


@pytest.fixture
def cell(write_cell: Any) -> Any:
    """`cell(method, seed, slopes)` leaves a completed cell and, with slopes, its study of orders: the error
    by order and horizon."""

    def leave(
        grid: Grid,
        method: str,
        seed: int,
        slopes: dict[str, float] | None = None,
        task: str = "push-mass",
        **changes: Any,
    ) -> Path:
        folder = write_cell(CellKey(task, method, seed), 1.0, grid.task(task).env_steps, **changes)
        if slopes:
            label = changes.get("synthetic")
            lines = [
                f"{order},{step},{slope * step!r}" for order, slope in slopes.items() for step in (1, 2, 3)
            ]
            (folder / "studies").mkdir()
            header, end = (
                ("order,horizon,error,synthetic", f",{label}") if label else ("order,horizon,error", "")
            )
            (folder / "studies/orders.csv").write_text(
                "\n".join([header, *(line + end for line in lines), ""])
            )
        return folder

    return leave


def records_of(results: Path) -> FileRecords:
    return FileRecords(results / "trial/cells")


def imagination(grid: Grid, results: Path) -> Figure:
    with style():
        return imagination_figure("Title", pictured_cells(grid, records_of(results)))


def orders(grid: Grid, results: Path) -> Figure:
    with style():
        return order_figure("Title", ordered_methods(grid, records_of(results)))


def axes_of(figure: Figure) -> list[Axes]:
    """Of all parts, in the order in which they were drawn."""
    return [axis for part in figure.subfigs for axis in part.axes]


def rows_of(figure: Figure) -> list[tuple[str, list[tuple[str, str]]]]:
    """The label of each row of pictures, and of each of its frames the number below it and the colour around
    it; or a row's words."""
    rows: list[tuple[str, list[tuple[str, str]]]] = []
    for axis in axes_of(figure):
        if not axis.images and axis.lines:
            continue
        if axis.get_ylabel() and axis.yaxis.label.get_rotation() == 0:
            rows.append((axis.get_ylabel().replace("\n", " "), []))
        if axis.images:
            rows[-1][1].append(
                (axis.get_xlabel() or words_in(axis), to_hex(axis.spines["left"].get_edgecolor()))
            )
        elif rows and axis.yaxis.label.get_rotation() == 0:
            rows[-1][1].append((words_in(axis), ""))
    return rows


def words_in(axis: Axes) -> str:
    return " ".join(text.get_text() for text in axis.texts).replace("\n", " ")


def caption_of(figure: Figure) -> str:
    return figure.legends[0].get_title().get_text().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")


def test_a_box_is_where_the_error_is_above_that_of_standing_still_and_nowhere_else(
    grid: Grid, results: Path, cell: Any
) -> None:
    still = (0.1, 0.3, 0.5, 0.6)
    write_frames(
        cell(grid, "dima", 1), still=still, errors={"random": [0.05, 0.2, 0.4, 0.7], "descending": [9.0] * 4}
    )
    # as far off is no further off, and what is not reached is nothing
    write_frames(cell(grid, "dima-joint", 1), still=still, errors={"none": [0.1, 0.3000001, np.nan, np.nan]})
    figure = imagination(grid, results)
    assert rows_of(figure) == [
        ("real", [("0.100", GREY), ("0.300", GREY), ("0.500", GREY), ("0.600", GREY)]),
        ("dima seed 1 random", [("0.0500", GREY), ("0.200", GREY), ("0.400", GREY), ("0.700", RED)]),
        (
            "dima-joint seed 1",
            [("0.100", GREY), ("0.300", RED), ("not imagined", GREY), ("not imagined", GREY)],
        ),
        ("mamba seed 1", [("not run", "")]),
    ]
    assert [axis.get_title() for axis in axes_of(figure)[:4]] == ["t + 1", "t + 5", "t + 10", "t + 14"]
    (part,) = figure.subfigs
    assert (
        part.get_suptitle()
        == "PushMass, preset paper; policy: dima seed-1; t\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}37"
    )
    (entry,) = figure.legends[0].get_texts()
    assert entry.get_text() == "red box: further off than if nothing had moved"
    assert "the world model of its method's first planned seed" in caption_of(figure)
    assert caption_of(figure).endswith("physics (lineage): mujoco 4.0.0, preset paper")


def test_every_frame_is_that_of_the_file(grid: Grid, results: Path, cell: Any) -> None:
    errors = {"random": [0.05, 0.2, 0.4, 0.7], "descending": [0.1, 0.2, 0.3, 0.4]}
    path = write_frames(cell(grid, "dima", 1, {"random": 0.1}), errors=errors)
    frames = read_frames(path.read_bytes(), "")
    drawn = [
        np.asarray(axis.images[0].get_array()) for axis in axes_of(imagination(grid, results)) if axis.images
    ]
    expected = [*frames.real, *frames.imagined[0]]
    assert all((one == other).all() for one, other in zip(drawn, expected, strict=True))
    drawn = [np.asarray(axis.images[0].get_array()) for axis in axes_of(orders(grid, results)) if axis.images]
    expected = [*frames.real, *frames.imagined[0], *frames.imagined[1]]
    assert all((one == other).all() for one, other in zip(drawn, expected, strict=True))


def test_what_is_missing_is_said_in_its_place(
    grid: Grid, results: Path, cell: Any, write_status: Any
) -> None:
    write_status(CellKey("push-mass", "dima", 1), "diverged")
    cell(grid, "dima-joint", 1)
    cell(grid, "mamba", 1)
    figure = imagination(grid, results)
    refusal = "The frames of mamba are drawn from predicted observations, "
    refusal += "and those of push-mass with preset paper do not determine the state."
    assert rows_of(figure) == [
        ("real", [("not made", "")]),
        ("dima seed 1", [("diverged", "")]),
        ("dima-joint seed 1", [("not made", "")]),
        ("mamba seed 1", [(refusal, "")]),
    ]
    assert "no frames" in caption_of(figure)
    assert figure.legends[0].get_texts() == []
    cell(grid, "dima", 2)
    figure = orders(grid, results)
    assert rows_of(figure)[:2] == [("real", [("not made", "")]), ("dima seed 1", [("diverged", "")])]
    *_, axis = axes_of(figure)
    assert words_in(axis) == "not made"
    title = axis.get_title().replace("\n", " ")
    assert (
        title == "dima (n=0/4) without: 1 diverged (seed 1), 1 not studied (seed 2), 2 not run (seeds 3, 4)"
    )


def test_a_stale_cell_shows_no_frames(grid: Grid, results: Path, cell: Any) -> None:
    write_frames(cell(grid, "dima", 1))
    cells = pictured_cells(grid, records_of(results), {CellKey("push-mass", "dima", 1): "another"})
    assert (cells[0].frames, cells[0].absence) == (None, "stale")


def test_methods_that_were_shown_another_episode_have_real_frames_of_their_own(
    grid: Grid, results: Path, cell: Any
) -> None:
    write_frames(cell(grid, "dima", 1))
    write_frames(cell(grid, "dima-joint", 1), episode=np.array("dima-joint seed-1"))
    figure = imagination(grid, results)
    assert [label for label, _ in rows_of(figure)] == [
        "real",
        "dima seed 1",
        "mamba seed 1",
        "real",
        "dima-joint seed 1",
    ]
    policies = [part.get_suptitle().split("; ")[1] for part in figure.subfigs]
    assert policies == ["policy: dima seed-1", "policy: dima-joint seed-1"]


def test_errors_are_averaged_over_the_seeds_with_a_bootstrap_interval(
    grid: Grid, results: Path, cell: Any
) -> None:
    for seed, value in enumerate((0.0, 0.0, 0.0, 4.0), 1):
        folder = cell(grid, "dima", seed, {"descending": value, "random": 1.0})
        if seed == 1:
            errors = {
                "random": [0.05, 0.2, 0.6, 0.7],
                "descending": [0.1, 0.2, 0.3, 0.4],
                "2-1-1-2": [0.1, 0.2, 0.3, 0.4],
            }
            write_frames(folder, errors=errors)
    (method,) = ordered_methods(grid, records_of(results))
    point = next(method.points.select("error", order="descending", horizon=3).itertuples())
    # the mean of a resample is 3 x Binomial(4, 1/4): 97.5 % lies at 3 x 3
    assert (point.mean, point.low, point.high, point.interval) == (3.0, 0.0, 9.0, Interval.BOOTSTRAP)
    figure = orders(grid, results)
    assert [label for label, _ in rows_of(figure)] == ["real", "random (as trained)", "descending", "2-1-1-2"]
    *_, axis = axes_of(figure)
    lines = {tuple(np.asarray(line.get_ydata()).tolist()) for line in axis.lines}
    assert lines == {(1.0, 2.0, 3.0)}  # both orders have a mean of 1 a step
    legend = axis.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["descending", "random"]
    assert axis.get_title() == "dima (n=4/4)"
    assert "band: 95 % bootstrap interval over seeds" in caption_of(figure)
    part, _ = figure.subfigs
    assert (
        part.get_suptitle().replace("\n", " ")
        == "dima seed 1 on PushMass, preset paper; policy: dima seed-1; t\u00a0=\u00a037"
    )


def test_two_seeds_have_their_range_and_other_physics_is_not_averaged(
    grid: Grid, results: Path, cell: Any
) -> None:
    cell(grid, "dima", 2, {"random": 1.0})
    cell(grid, "dima", 4, {"random": 2.0})
    (method,) = ordered_methods(grid, records_of(results))
    (point,) = method.points.select("error", horizon=1).itertuples()
    assert (point.mean, point.low, point.high, point.interval) == (1.5, 1.0, 2.0, Interval.RANGE)
    assert "band: minimum to maximum (n < 3)" in caption_of(orders(grid, results))
    cell(grid, "dima", 3, {"random": 2.0}, lineage="another physics")
    (method,) = ordered_methods(grid, records_of(results))
    assert method.points.points.empty
    *_, axis = axes_of(orders(grid, results))
    assert words_in(axis) == "lineages mixed across the seeds: another physics, mujoco 4.0.0, preset paper"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no file of arrays, or is not whole"),
        (b"\x80\x04K\x01.", "is no file of arrays, or is not whole"),
        (b"order,horizon,error\n", "is no file of arrays, or is not whole"),
        (frames_bytes(frame_arrays())[:-40], "is no file of arrays, or is not whole"),
        (
            frames_bytes(frame_arrays())[:400] + bytes(40) + frames_bytes(frame_arrays())[440:],
            "is no file of arrays, or is not whole",
        ),
        (frames_bytes({"steps": np.array([1])}), "has no array 'real': it is no study frames"),
    ],
)
def test_a_torn_or_foreign_file_is_refused_by_name(
    grid: Grid, results: Path, cell: Any, content: bytes, words: str
) -> None:
    path = write_frames(cell(grid, "dima", 1))
    path.write_bytes(content)
    for of in (None, "world-models"):
        with pytest.raises(UserError) as caught:
            write_figures(GridResults(grid, results), results, of=of)
        assert str(caught.value).startswith(f"{path} {words}")
    assert not (results / "trial/figures").exists()


def test_a_single_array_and_one_of_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.array([1]))
    for content in ((tmp_path / "one.npy").read_bytes(), saved_with_objects(tmp_path)):
        with pytest.raises(UserError, match=r"^here is no file of arrays"):
            read_frames(content, "here")


def saved_with_objects(folder: Path) -> bytes:
    np.savez(folder / "objects.npz", **{**frame_arrays(), "names": np.array(["none"], dtype=object)})
    return (folder / "objects.npz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": np.array([1.0, 5.0, 10.0, 14.0])}, "steps holds float64, not int64"),
        ({"steps": np.array([1, 5, 5, 14])}, "steps [1, 5, 5, 14] do not grow from 1 up"),
        ({"steps": np.array([0, 5, 10, 14])}, "steps [0, 5, 10, 14] do not grow from 1 up"),
        ({"steps": np.array([], dtype=np.int64)}, "steps has the shape (0,)"),
        ({"real": np.zeros((4, 8, 8), dtype=np.uint8)}, "real has the shape (4, 8, 8)"),
        (
            {"real": np.zeros((3, 120, 120, 3), dtype=np.uint8)},
            "real has the shape (3, 120, 120, 3), which does not fit the other arrays",
        ),
        (
            {"real": np.zeros((4, 120, 120, 4), dtype=np.uint8)},
            "real has the shape (4, 120, 120, 4), which does not fit the other arrays",
        ),
        ({"real": np.zeros((4, 120, 120, 3))}, "real holds float64, not uint8"),
        (
            {"imagined": np.zeros((1, 4, 64, 64, 3), dtype=np.uint8)},
            "imagined has the shape (1, 4, 64, 64, 3), which does not fit",
        ),
        (
            {"names": np.array(["none", "random"])},
            "imagined has the shape (1, 4, 120, 120, 3), which does not fit",
        ),
        (
            {"names": np.array(["falling"])},
            "names holds 'falling', and it is neither descending, ascending, random nor none",
        ),
        ({"names": np.array([b"none"])}, "names holds bytes"),
        ({"error": np.array([[0.1, 0.2, 0.3]])}, "error has the shape (1, 3), which does not fit"),
        ({"error": np.array([[0.1, -0.2, 0.3, 0.4]])}, "error holds what is no error"),
        ({"error": np.array([[0.1, 0.2, 0.3, np.inf]])}, "error holds what is no error"),
        (
            {"error": np.array([[0.1, np.nan, 0.3, 0.4]])},
            "error has a number after a step that is not reached",
        ),
        ({"error": np.array([[0.1, 0.2, 0.3, 0.4]], dtype=np.float32)}, "error holds float32, not float64"),
        ({"still": np.array([0.1, 0.3, np.nan, 0.6])}, "still holds what is no error"),
        ({"still": np.array([0.1, 0.3, -0.1, 0.6])}, "still holds what is no error"),
        ({"start": np.array(-1)}, "start -1 is no step of an episode"),
        ({"start": np.array([3])}, "start has the shape (1,)"),
        ({"episode": np.array("")}, "episode does not tell whose policy acted"),
        ({"synthetic": np.array(False)}, "synthetic holds bool, not str"),
    ],
)
def test_arrays_of_another_form_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_frames(frames_bytes({**frame_arrays(), **changes}), "here")
    assert str(caught.value).startswith(f"here cannot be used: {words}")


def test_two_rollouts_of_one_name_are_refused() -> None:
    arrays = frame_arrays(
        errors={"random": [0.1] * 4, "none": [0.1] * 4}, names=np.array(["random", "random"])
    )
    with pytest.raises(UserError, match="names holds a name twice"):
        read_frames(frames_bytes(arrays), "here")


def test_a_torn_study_of_orders_is_refused_by_name(grid: Grid, results: Path, cell: Any) -> None:
    path = cell(grid, "dima", 3, {"random": 1.0}) / "studies/orders.csv"
    path.write_text(path.read_text()[:-4])
    with pytest.raises(UserError) as caught:
        write_figures(GridResults(grid, results), results)
    assert str(caught.value).startswith(f"{path} ends within a line")


@pytest.mark.parametrize("study", ["frames", "orders"])
@pytest.mark.parametrize("made_up", ["cell", "study"])
def test_a_synthetic_study_in_a_real_cell_is_refused_and_the_reverse(
    grid: Grid, results: Path, cell: Any, study: str, made_up: str
) -> None:
    word = "SYNTHETIC: made up"
    folder = cell(grid, "dima", 1, {"random": 1.0}, **({"synthetic": word} if made_up == "cell" else {}))
    path = folder / "studies/orders.csv"
    if study == "frames":
        path.unlink()
        path = write_frames(folder, synthetic=np.array("" if made_up == "cell" else word))
    elif made_up == "cell":
        path.write_text(path.read_text().replace(word, ""))
    else:
        path.write_text("order,horizon,error,synthetic\nrandom,1,1.0,made up\n")
    with pytest.raises(UserError) as caught:
        write_figures(GridResults(grid, results), results, of="world-models")
    assert (
        str(caught.value) == f"{path} and the summary of its cell do not agree on whether they are synthetic."
    )


def test_synthetic_pictures_say_so_and_never_stand_among_real_returns(
    grid: Grid, results: Path, cell: Any
) -> None:
    word = "SYNTHETIC: made up"
    write_frames(cell(grid, "dima", 1, {"random": 1.0}, synthetic=word), synthetic=np.array(word))
    for path in write_figures(GridResults(grid, results), results, of="world-models"):
        if path.suffix == ".svg":
            assert path.read_text(encoding="utf-8").count("<!-- SYNTHETIC") == 2
    cell(grid, "mappo", 1)
    with pytest.raises(UserError, match="never shown together"):
        write_figures(GridResults(grid, results), results)


@pytest.mark.slow
@pytest.mark.remembered
def test_files_have_the_same_bytes_in_another_process_at_another_time(
    grid: Grid, results: Path, cell: Any, tmp_path: Path
) -> None:
    for seed in (1, 2, 3):
        write_frames(cell(grid, "dima", seed, {"random": 0.1 * seed, "descending": 0.2}))
    paths = write_figures(GridResults(grid, results), results, of="world-models")
    assert paths == figure_paths(grid, results, "world-models")
    assert [path.name for path in paths] == [
        f"{name}.{end}" for name in ("imagination", "agent_order") for end in ("pdf", "png", "svg")
    ]
    assert_same_bytes_elsewhere(write_figures, paths, tmp_path / "config", results)


def test_no_text_is_smaller_than_seven_points(grid: Grid, results: Path, cell: Any) -> None:
    write_frames(cell(grid, "dima", 1, {"random": 1.0}), errors={"random": [0.05, 0.2, 0.6, np.nan]})
    for figure in (imagination(grid, results), orders(grid, results)):
        figure.draw_without_rendering()
        sizes = [
            text.get_fontsize() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()
        ]
        assert min(sizes) >= 7


def test_the_commands_write_the_part_that_they_are_asked_for(
    grid: Grid, results: Path, cell: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    write_frames(cell(grid, "dima", 1, {"random": 1.0}))
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/config").symlink_to(tmp_path / "config")
    (tmp_path / "workflow/reference").symlink_to(CONFIG.parent / "reference")
    monkeypatch.chdir(tmp_path)
    for command, of, names in (
        ("figures", "world-models", ["imagination", "agent_order"]),
        ("figures", "returns", ["learning_curves_toy"]),
        ("tables", "returns", ["final_returns", "suite_summary", "sample_efficiency"]),
        ("tables", "world-models", []),
    ):
        assert main([command, "--grid", "trial", "--of", of]) == 0
        assert list(dict.fromkeys(Path(line).stem for line in capsys.readouterr().out.split())) == names
    with pytest.raises(SystemExit):
        main(["figures", "--grid", "trial", "--of", "returs"])


def test_only_experiments_of_returns_are_compared_by_their_returns(
    tmp_path: Path, results: Path, cell: Any
) -> None:
    grid = make(
        tmp_path,
        imagination=[(["ant-2x4"], ["dima", "marie"], [2, 1])],
        agent_order=[(["ant-2x4"], ["dima"], [1, 2])],
        final_returns=[(["push-mass"], ["dima"], [1])],
    )
    assert tasks_by_suite(grid) == {"toy": ["push-mass"]}
    assert figure_names(grid) == ["learning_curves_toy", "imagination", "agent_order"]
    assert figure_names(grid, "returns") == ["learning_curves_toy"]
    assert [
        path.name for path in write_tables(GridResults(grid, results), results) if path.suffix == ".md"
    ] == [
        "final_returns.md",
        "suite_summary.md",
        "sample_efficiency.md",
    ]
    studies = [
        path.relative_to(results / "trial/cells/ant-2x4").as_posix()
        for path in pictured_studies(grid, results)
    ]
    assert studies == [
        "dima/seed-2/studies/frames.npz",
        "marie/seed-2/studies/frames.npz",
        "dima/seed-1/studies/frames.npz",
        "dima/seed-1/studies/orders.csv",
        "dima/seed-2/studies/orders.csv",
    ]
    assert len(load_cells(grid, grid.cells, results)) == 5


def test_parts_are_the_whole(results: Path) -> None:
    grid = load_grid("paper", CONFIG)
    assert figure_names(grid) == figure_names(grid, "returns") + figure_names(grid, "world-models")
    assert table_names(grid) == table_names(grid, "returns") + table_names(grid, "world-models")
    assert figure_names(grid, "world-models") == ["imagination", "agent_order"]
    assert table_names(grid, "world-models") == ["prediction_error"]
    # MARIE has frames on Ant, and no study of orders or of predictions
    assert [path.parts[-4] for path in pictured_studies(grid, results) if path.name == "frames.npz"] == [
        "dima",
        "marie",
        "mamba",
    ]
    assert {path.parts[-4] for path in prediction_studies(grid, results)} == {"dima", "dima-joint"}
