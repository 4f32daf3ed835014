"""Cells that share the GPUs of a machine, with stand-ins for `nvidia-smi` and for training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CELLS = "experiments: {final_returns: [{tasks: [push-mass], methods: [dima, mappo], seeds: [1, 2, 3]}]}\n"
TRAINING = """import os, pathlib, sys, time
if sys.argv[1] == "train":
    running = pathlib.Path("running")
    running.mkdir(exist_ok=True)
    own = running / str(os.getpid())
    given = sys.argv[sys.argv.index("--gpus") + 1:] if "--gpus" in sys.argv else ["none"]
    own.write_text(" ".join(word for word in given if word == "none" or word.startswith("GPU-")))
    time.sleep(0.4)
    with open("most", "a") as most:
        print(len(list(running.iterdir())), own.read_text(), file=most)
    own.unlink()
"""


@pytest.fixture
def shared(stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`shared(cards)`: what six cells that train for 0.4 s saw of the cards, the most that ran at once, and
    what was said."""
    stage.write("quick.yaml", CELLS)
    stand_in = (stage.folder / "dima.py").read_text(encoding="utf-8")
    (stage.folder / "dima.py").write_text(
        stand_in.replace(
            "from __future__ import annotations\n", f"from __future__ import annotations\n{TRAINING}", 1
        )
    )
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    # a torch that finds GPUs, whatever is installed here
    (tmp_path / "site").mkdir()
    (tmp_path / "site/torch-2.13.0.dist-info").mkdir()
    (tmp_path / "site/torch-2.13.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n"
    )

    def run(cards: int, *arguments: str) -> tuple[int, set[str], str]:
        tool.write_text(
            "#!/bin/sh\n" + "".join(f"echo 'GPU-{card}, {card}, 81559, A Card'\n" for card in range(cards))
        )
        tool.chmod(0o755)
        paths = os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parents[2])])
        result = stage.snakemake(
            "quick", *arguments, "--cores", "6", "--until", "cell",
            PATH=f"{tool.parent}{os.pathsep}{os.environ['PATH']}", PYTHONPATH=paths,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        lines = [line.split(maxsplit=1) for line in (stage.folder / "most").read_text().splitlines()]
        assert len(lines) == 6
        return max(int(count) for count, _ in lines), {seen.strip() for _, seen in lines}, result.stdout

    return run


def test_no_more_cells_run_than_the_cards_hold(shared) -> None:
    """Of neither method anything was measured on a GPU: one a card."""
    most, seen, said = shared(2, "--profile", "local")
    assert (most, seen) == (2, {"GPU-0 GPU-1"})
    assert "Cells share 2 GPUs (A Card): on each at most 1 of dima, 1 of mappo." in said.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cards", "arguments"),
    [(0, ["--profile", "local"]), (2, []), (2, ["--profile", "local", "--config", "share_gpus=false"])],
    ids=["no card", "no profile", "turned off"],
)
def test_without_cards_or_the_profile_nothing_changes(shared, cards: int, arguments: list[str]) -> None:
    most, seen, said = shared(cards, *arguments)
    assert (most > 2, seen) == (True, {"none"})
    assert "GPU" not in said
