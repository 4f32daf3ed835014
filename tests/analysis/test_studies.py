"""What studies are over seeds: numbers by hand, what is refused, and that the files depend on the cells'
files alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from elsewhere import assert_same_bytes_elsewhere
from matplotlib.colors import to_hex

from dima.analysis.figures.studies import FIGURES
from dima.analysis.figures.style import style
from dima.analysis.figures.write_studies import write_studies
from dima.analysis.paths import STUDIES, cells_with_world_model, study_paths
from dima.analysis.studies.over_seeds import assemble
from dima.analysis.studies.points import Interval, MethodPoints
from dima.cli import main
from dima.config.grid import CellKey, Grid, load_grid
from dima.errors import UserError

CONFIG = Path(__file__).parents[2] / "workflow/config"
HEADERS = {
    "prediction": "split,kind,dimension,horizon,error,std,segments",
    "orders": "order,horizon,error,std,segments",
    "gain": "order,agent,position,gain,low,high,correlation,segments",
    "calibration": "kind,low,high,predicted,observed,observed_low,observed_high,count",
}


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """DIMA with four seeds, dima-joint with two and MAPPO with one on push-mass, in the project's own
    configuration."""
    return _grid(tmp_path)


def _grid(folder: Path) -> Grid:
    config = folder / "config"
    if not config.exists():
        config.mkdir()
        for part in ("tasks", "methods"):
            (config / part).symlink_to(CONFIG / part)
        blocks = [("dima", "[1, 2, 3, 4]"), ("dima-joint", "[1, 2]"), ("mappo", "[1]")]
        lines = [
            f"    - {{tasks: [push-mass], methods: [{method}], seeds: {seeds}}}\n" for method, seeds in blocks
        ]
        (config / "trial.yaml").write_text(
            "experiments:\n  final_returns:\n" + "".join(lines), encoding="utf-8"
        )
    return load_grid("trial", config)


@pytest.fixture
def write(results: Path) -> Any:
    """`write(study, method, seed, rows)` leaves a cell's study."""

    def write_study(study: str, method: str, seed: int | str, rows: list[str], end: str = "\n") -> Path:
        path = results / "trial/cells/push-mass" / method / f"seed-{seed}" / "studies" / f"{study}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([HEADERS[study], *rows]) + end, encoding="utf-8")
        return path

    return write_study


def gains(*values: float, order: str = "descending") -> list[str]:
    """Rows of the gains of agents 1, 2, ... of a descending order."""
    return [
        f"{order},{agent},{len(values) - agent + 1},{value!r},-0.5,1.5,0.25,100"
        for agent, value in enumerate(values, 1)
    ]


def errors(scale: float, dimensions: int = 2) -> list[str]:
    """Rows of a prediction whose error grows with horizon and dimension."""
    return [
        f"{split},{kind},{dimension},{horizon},{scale * horizon * factor * (index + 1)!r},0.1,100"
        for split in ("train", "held-out")
        for kind, factor in (("model", 1.0), ("decoder", 0.125))
        for index, dimension in enumerate([*range(dimensions), "mean"])
        for horizon in (1, 2)
    ]


def write_all(write: Any) -> None:
    """Every study of three seeds of dima and one of dima-joint."""
    for method, seed in (("dima", 1), ("dima", 2), ("dima", 3), ("dima-joint", 1)):
        write("prediction", method, seed, errors(0.5 * seed))
        write(
            "orders",
            method,
            seed,
            [
                f"{order},{step},{seed * step / 4!r},0.1,100"
                for order in ("random", "2-1-1-2")
                for step in (1, 2)
            ],
        )
        write(
            "gain",
            method,
            seed,
            gains(0.9, 0.1 * seed) + [f"random,{agent},0,0.5,0.4,0.6,0.9,100" for agent in (1, 2)],
        )
        reward = [
            f"reward,{low + seed!r},{low + 1.0 + seed!r},{low + 0.5 + seed!r},{low + seed!r},0.0,9.0,50"
            for low in (0.0, 1.0)
        ]
        write("calibration", method, seed, [*reward, "termination,0.0,0.001,0.0001,0.0,0.0,0.01,100"])


def table_of(grid: Grid, results: Path, study: str) -> list[dict[str, str]]:
    (path,) = [path for path in write_studies(grid, results, studies=[study]) if path.suffix == ".csv"]
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_cells_with_a_world_model_are_those_of_dima_and_its_variants(grid: Grid) -> None:
    cells = [CellKey("push-mass", "dima", seed) for seed in (1, 2, 3, 4)] + [
        CellKey("push-mass", "dima-joint", seed) for seed in (1, 2)
    ]
    assert cells_with_world_model(grid, "push-mass") == cells
    assert {key.method for key in cells_with_world_model(load_grid("paper", CONFIG), "pen")} == {"dima"}


def test_numbers_over_seeds(grid: Grid, results: Path, write: Any) -> None:
    for seed, value in enumerate((0.0, 0.0, 0.0, 4.0), 1):
        write("gain", "dima", seed, gains(value, 1.0))
    for seed, value in enumerate((0.25, 0.75), 1):
        write("gain", "dima-joint", seed, gains(value, 1.0))
    rows = [row for row in table_of(grid, results, "gain") if row["agent"] == "1"]
    fixed = {"order": "descending", "agent": "1", "position": "2"}
    # the mean of a resample is Binomial(4, 1/4): 97.5 % lies at 3
    dima = {"seeds": "4/4", "mean": "1", "low": "0", "high": "3", "interval": "95 % bootstrap over seeds"}
    joint = {
        "seeds": "2/2",
        "mean": "0.5",
        "low": "0.25",
        "high": "0.75",
        "interval": "minimum to maximum over seeds",
    }
    assert rows[0] == {"method": "dima", **fixed, "quantity": "gain", **dima}
    assert rows[1]["quantity"] == "correlation"
    assert rows[2] == {"method": "dima-joint", **fixed, "quantity": "gain", **joint}


def test_missing_seeds_are_counted_and_one_seed_has_the_interval_of_its_cell(
    grid: Grid, results: Path, write: Any
) -> None:
    for seed in (2, 3):
        write("gain", "dima", seed, gains(0.5, 1.0))
    write("gain", "dima-joint", 2, gains(0.5, 1.0))
    assert {(row["method"], row["seeds"]) for row in table_of(grid, results, "gain")} == {
        ("dima", "2/4"),
        ("dima-joint", "1/2"),
    }
    dima, joint = assemble(grid, results, "push-mass", "gain")
    assert (dima.label, joint.label) == ("dima (n=2/4)", "dima-joint (n=1/2)")
    (point,) = joint.select("gain", agent=1).itertuples()
    assert (point.mean, point.low, point.high, point.interval) == (0.5, -0.5, 1.5, Interval.CELL)
    (point,) = joint.select("correlation", agent=1).itertuples()
    assert (point.low, point.high, point.interval) == (0.25, 0.25, Interval.NONE)


def test_many_rows_are_resampled_as_few_are(grid: Grid, results: Path, write: Any) -> None:
    for seed in (1, 2, 3):
        write("prediction", "dima", seed, errors(0.5 * seed, dimensions=200))
    points = list(assemble(grid, results, "push-mass", "prediction")[0].points.itertuples())
    assert len(points) == 2 * 2 * 201 * 2
    first = points[0]
    ratios = {
        (
            round(point.low / first.low, 9),
            round(point.high / first.high, 9),
            round(point.mean / first.mean, 9),
        )
        for point in points
    }
    assert all(len(set(ratio)) == 1 for ratio in ratios)  # every row is a multiple of the first one


def test_bins_that_follow_from_the_data_are_averaged_in_their_order_and_fixed_ones_by_their_edges(
    grid: Grid, results: Path, write: Any
) -> None:
    write("calibration", "dima", 1, [
        "reward,0.0,2.0,1.0,1.5,1.0,2.0,50", "reward,2.0,4.0,3.0,3.5,3.0,4.0,50",
        "termination,0.0,0.1,0.05,0.0,0.0,0.1,90", "termination,0.5,1.0,0.75,0.5,0.25,0.75,10",
    ])  # fmt: skip
    write("calibration", "dima", 2, [
        "reward,1.0,2.5,2.0,2.5,2.0,3.0,50", "reward,2.5,5.0,4.0,4.5,4.0,5.0,50",
        "termination,0.0,0.1,0.05,0.25,0.0,0.5,90", "termination,0.1,0.5,nan,nan,nan,nan,0",
    ])  # fmt: skip
    rows = [row for row in table_of(grid, results, "calibration") if row["quantity"] == "observed"]
    found = [
        tuple(row[name] for name in ("kind", "bin_low", "bin_high", "seeds", "mean", "low", "high"))
        for row in rows
    ]
    assert found == [
        ("reward", "0.5", "2.25", "2/4", "2", "1.5", "2.5"),
        ("reward", "2.25", "4.5", "2/4", "4", "3.5", "4.5"),
        ("termination", "0", "0.1", "2/4", "0.125", "0", "0.25"),
        ("termination", "0.5", "1", "1/4", "0.5", "0.25", "0.75"),
    ]


def test_bins_of_seeds_whose_predictions_lie_apart_are_not_taken_for_fixed_ones(
    grid: Grid, results: Path, write: Any
) -> None:
    for seed, low in ((1, 0.0), (2, 10.0)):
        reward = f"reward,{low!r},{low + 1!r},{low + 0.5!r},{low!r},0.0,9.0,50"
        write(
            "calibration",
            "dima",
            seed,
            [reward, f"termination,{low / 20!r},{low / 20 + 0.1!r},{low / 20!r},{low / 20!r},0.0,1.0,50"],
        )
    rows = [row for row in table_of(grid, results, "calibration") if row["quantity"] == "observed"]
    found = [tuple(row[name] for name in ("kind", "bin_low", "bin_high", "seeds", "mean")) for row in rows]
    assert found == [
        ("reward", "5", "6", "2/4", "5"),
        ("termination", "0", "0.1", "1/4", "0"),
        ("termination", "0.5", "0.6", "1/4", "0.5"),
    ]


@pytest.mark.parametrize(
    ("rows", "end", "words"),
    [
        (["descending,1,2,0.5,0.4"], "\n", "line 2: the line is torn, it has 5 values for 8 columns"),
        (gains(0.5, 0.5), "", "ends within a line"),
        (
            ["descending,1,2,much,0.4,0.6,0.9,100"],
            "\n",
            "line 2: the gain 'much' cannot be used, it is no number",
        ),
        (
            ["descending,1,2,nan,0.4,0.6,0.9,100"],
            "\n",
            "line 2: the gain 'nan' cannot be used, it is not finite",
        ),
        (
            ["descending,one,2,0.5,0.4,0.6,0.9,100"],
            "\n",
            "line 2: the agent 'one' cannot be used, it is no whole number from 1 up",
        ),
        (
            ["falling,1,2,0.5,0.4,0.6,0.9,100"],
            "\n",
            "line 2: the order 'falling' cannot be used, it is neither descending",
        ),
        (
            [*gains(0.5), *gains(0.6)],
            "\n",
            "line 3: there is a second row of order descending, agent 1, position 1",
        ),
        ([], "\n", "holds no row"),
    ],
)
def test_a_malformed_file_is_refused_by_name(
    grid: Grid, results: Path, write: Any, rows: list[str], end: str, words: str
) -> None:
    write("gain", "dima", 1, gains(0.5, 0.5))
    path = write("gain", "dima", 2, rows, end)
    with pytest.raises(UserError) as caught:
        write_studies(grid, results)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert not (results / "trial/studies").exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"order,agent,pos", b"\xff\xfe"])
def test_a_file_without_its_columns_is_refused_by_name(
    grid: Grid, results: Path, write: Any, content: bytes
) -> None:
    path = write("gain", "dima", 1, [])
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"has no column|is no text") as caught:
        write_studies(grid, results)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(("method", "seed"), [("dima", 9), ("dima", "1-old"), ("mappo", 1), ("dimma", 1)])
def test_a_study_of_no_cell_of_the_grid_is_refused(
    grid: Grid, results: Path, write: Any, method: str, seed: int | str
) -> None:
    write("orders", "dima", 1, ["random,1,0.5,0.1,100"])
    path = write("gain", method, seed, gains(0.5))
    with pytest.raises(UserError, match="is of no cell with a world model in grid trial") as caught:
        write_studies(grid, results)
    assert str(caught.value).startswith(str(path))


def test_seeds_with_different_rows_are_not_averaged(grid: Grid, results: Path, write: Any) -> None:
    write("gain", "dima", 1, gains(0.5, 0.5))
    write("gain", "dima", 2, gains(0.5, 0.5, order="ascending"))
    with pytest.raises(
        UserError,
        match=r"seed-2/studies/gain.csv does not hold what .*seed-1.* holds \(order descending, agent 1",
    ):
        write_studies(grid, results)


def test_no_study_at_all_and_an_unknown_task_are_refused(grid: Grid, results: Path, write: Any) -> None:
    with pytest.raises(UserError, match=f"There is no study of a cell under {results}/trial/cells"):
        write_studies(grid, results)
    write("orders", "dima", 1, ["random,1,0.5,0.1,100"])
    with pytest.raises(UserError, match=r"There is no gain\.csv of a cell under .*push-mass"):
        write_studies(grid, results, ["push-mass"], ["gain"])
    with pytest.raises(UserError, match="Unknown task 'push-mas' in grid trial, perhaps 'push-mass'"):
        write_studies(grid, results, ["push-mas"])
    assert [path.name for path in write_studies(grid, results)] == [
        "orders.csv",
        "orders.pdf",
        "orders.png",
        "orders.svg",
    ]


def test_the_command_prints_what_it_wrote(
    grid: Grid, results: Path, write: Any, monkeypatch: Any, tmp_path: Path, capsys: Any
) -> None:
    write("gain", "dima", 1, gains(0.5, 0.5))
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/config").symlink_to(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    assert main(["studies", "--grid", "trial", "--task", "push-mass"]) == 0
    assert capsys.readouterr().out.split() == [
        f"results/trial/studies/push-mass/gain.{ending}" for ending in ("csv", "pdf", "png", "svg")
    ]
    assert main(["studies", "--grid", "trial", "--from", "elsewhere"]) == 2
    assert (
        capsys.readouterr().err
        == "dima: There is no study of a cell under elsewhere/trial/cells: `dima study` makes one.\n"
    )


def figure_of(grid: Grid, results: Path, study: str) -> Any:
    with style():
        return FIGURES[study]("PushMass (grid trial)", assemble(grid, results, "push-mass", study))


def test_figures_name_methods_seeds_units_and_intervals(grid: Grid, results: Path, write: Any) -> None:
    write_all(write)
    both = "95 % bootstrap interval over seeds"
    for study, words in (
        ("prediction", [both]),
        ("orders", [both]),
        ("gain", [both, "within the cell"]),
        ("calibration", [both]),
    ):
        figure = figure_of(grid, results, study)
        (legend,) = figure.legends
        caption = legend.get_title().get_text().replace("\N{NO-BREAK SPACE}", " ")
        titles = [axis.get_title() for axis in figure.axes] + [text.get_text() for text in legend.get_texts()]
        assert {"dima (n=3/4)", "dima-joint (n=1/2)"} <= set(titles)
        assert all(word in caption for word in words)
        assert all(axis.get_xlabel() for axis in figure.axes if axis.get_visible())
    axis = figure_of(grid, results, "prediction").axes[0]
    lines = {
        (to_hex(line.get_color()).upper(), line.get_linestyle(), tuple(np.asarray(line.get_ydata())))
        for line in axis.lines
    }
    expected = {
        ("#0072B2", "-", (3.0, 6.0)),
        ("#0072B2", "--", (0.375, 0.75)),
        ("#E69F00", "-", (1.5, 3.0)),
        ("#E69F00", "--", (0.1875, 0.375)),
    }
    assert lines == expected
    assert axis.get_ylim()[1] > 6.0


def test_a_method_without_the_study_is_named(grid: Grid, results: Path, write: Any) -> None:
    write("orders", "dima", 1, ["random,1,0.5,0.1,100"])
    figure = figure_of(grid, results, "orders")
    assert [axis.get_title() for axis in figure.axes] == ["dima (n=1/4)"]
    caption = figure.legends[0].get_title().get_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "band: none (n = 1)" in caption
    assert "without this study: dima-joint (n=0/2)" in caption


def test_many_methods_are_calibrated_in_a_panel_each_of_one_range() -> None:
    def points(kind: str, quantity: str, *values: float) -> list[dict[str, Any]]:
        key = {
            "kind": kind,
            "bin_low": 0.0,
            "bin_high": 1.0,
            "quantity": quantity,
            "seeds": 1,
            "interval": Interval.NONE.value,
        }
        return [{**key, "mean": value, "low": value, "high": value} for value in values]

    pairs = [
        [*points("reward", "predicted", 0.5, step), *points("reward", "observed", 0.5, 2.0 * step)]
        for step in (1.0, 2.0, 3.0, 4.0)
    ]
    methods = [
        MethodPoints(name, 1, 1, pd.DataFrame(found))
        for name, found in zip(("dima", "dima-joint", "dima-vq", "dima-mlp"), pairs, strict=True)
    ]
    with style():
        axes = [axis for axis in FIGURES["calibration"]("PushMass", methods).axes if axis.get_visible()]
    titles = [f"{kind}\n{method.method}" for kind in ("reward", "termination") for method in methods]
    assert [axis.get_title() for axis in axes] == titles
    assert len({axis.get_xlim() + axis.get_ylim() for axis in axes[:4]}) == 1
    assert axes[0].get_xlim() == axes[0].get_ylim()
    assert [[text.get_text() for text in axis.texts] for axis in axes[4:]] == [["no steps"]] * 4


def test_gains_stand_in_the_order_in_which_actions_are_revealed(
    grid: Grid, results: Path, write: Any
) -> None:
    write(
        "gain",
        "dima",
        1,
        [f"{row}" for row in gains(0.9, 0.2, 0.1)]
        + [f"random,{agent},0,0.5,0.4,0.6,0.9,9" for agent in (1, 2, 3)],
    )
    (axis,) = figure_of(grid, results, "gain").axes
    joined = [line.get_ydata().tolist() for line in axis.lines if len(line.get_xdata()) == 3]
    assert joined == [[0.1, 0.2, 0.9]]  # agent 3 is revealed first, and a random order is not joined
    assert {0, 1} <= {line.get_ydata()[0] for line in axis.lines}
    assert [label.get_text() for label in axis.get_xticklabels()] == ["descending", "random"]


@pytest.mark.slow
@pytest.mark.remembered
def test_files_have_the_same_bytes_in_another_process_at_another_time(
    grid: Grid, results: Path, write: Any, tmp_path: Path
) -> None:
    write_all(write)
    paths = write_studies(grid, results)
    assert paths == [path for study in STUDIES for path in study_paths(grid, results, "push-mass", study)]
    assert_same_bytes_elsewhere(write_studies, paths, tmp_path / "config", results)


def test_synthetic_studies_say_so_in_table_and_figure_and_never_stand_among_others(
    grid: Grid, results: Path, write: Any
) -> None:
    label = "SYNTHETIC: made up"
    for seed in (1, 2):
        path = write("orders", "dima", seed, ["descending,1,0.5,0.1,4", "descending,2,0.7,0.1,4"])
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([f"{header},synthetic", *(f"{row},{label}" for row in rows), ""]))
    table, _, _, svg = write_studies(grid, results)
    assert all(row["synthetic"] == label for row in csv.DictReader(io.StringIO(table.read_text())))
    assert svg.read_text().count("<!-- SYNTHETIC") == 2
    path.write_text(path.read_text().replace(f",{label}", ",", 1))
    with pytest.raises(UserError, match=r"seed-2/studies/orders\.csv holds synthetic rows among others"):
        write_studies(grid, results)
    path.write_text(path.read_text().replace(label, ""))
    with pytest.raises(
        UserError,
        match=r"together with others: .*seed-1/studies/orders\.csv and .*seed-2/studies/orders\.csv",
    ):
        write_studies(grid, results)
