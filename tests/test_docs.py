"""The documentation: its site builds, and its commands are commands of this version."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CONFIG, ROOT

from dima.cli import parser
from dima.config.grid import CellKey, load_grid

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PREFIX = re.compile(r"^(?:\.venv/bin/)?(dima|snakemake|python -m [\w.]+) ")
RULES = re.compile(r"[a-z0-9-]+_(?:tables|figures|prediction_error|world_model_figures|studies|films|report)")


def commands() -> list[tuple[str, str]]:
    """Each command in a page's code, with the page's name."""
    found: dict[tuple[str, str], None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^(?:    )?(\S.*)$", text, re.MULTILINE)
        for line in code:
            for part in line.partition("  #")[0].split(" && "):
                if PREFIX.match(part.strip()):
                    found[(page.name, part.strip())] = None
    return list(found)


COMMANDS = commands()


def words_of(command: str, program: str) -> list[str]:
    words = shlex.split(command)
    return words[next(n for n, word in enumerate(words) if word.endswith(program)) + 1 :]


def of(program: str) -> list[str]:
    """The different commands of one program."""
    return sorted(
        {command for _, command in COMMANDS if command.removeprefix(".venv/bin/").startswith(program)}
    )


def test_commands_are_found() -> None:
    assert len(of("dima")) > 20
    assert len(of("snakemake")) > 10


@pytest.mark.parametrize("command", of("dima"))
def test_a_dima_command_parses_and_names_what_there_is(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names in capitals stand for the reader's own."""
    words = words_of(command, "dima")
    if not any(word.startswith("-") for word in words):  # a page names the command
        command_names = {name for action in parser()._actions for name in action.choices or ()}
        assert words[0] in command_names
        return
    options = parser().parse_args(words)
    capsys.readouterr()
    if "GRID" in words or "METHOD" in words:
        return
    grid = getattr(options, "grid", None)
    if grid not in (None, "all", "synthetic"):
        loaded = load_grid(grid, CONFIG)
        if getattr(options, "method", None):
            loaded.resolve(CellKey(options.task, options.method, options.seed))


@pytest.mark.parametrize("command", of("snakemake"))
def test_a_snakemake_command_names_targets_that_there_are(command: str) -> None:
    grids = {path.stem for path in CONFIG.glob("*.yaml")} | {"mine"}
    targets = {"all", "tables", "figures", "report", "containers", *grids}
    values = {"--cores", "--profile", "--sdm", "--report", "--config", "--set-resources"}
    words = words_of(command, "snakemake")
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("-") or before in values or "=" in word:
            continue
        cell = re.fullmatch(r"results/([\w-]+)/cells/([\w-]+)/([\w-]+)/seed-\S+/summary\.json", word)
        if cell:
            load_grid(cell[1], CONFIG).require(CellKey(cell[2], cell[3], 1))
        elif word.startswith(("results/", "containers/")):
            assert word.split("/")[1].partition(".")[0] in grids | {"mongodb", "dima", "harl"}, word
        else:
            assert word in targets or RULES.fullmatch(word), word


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    method = (tmp_path / "site/method/index.html").read_text(encoding="utf-8")
    assert method.count("<math ") > 50
    assert "arithmatex" not in method
    pictures = re.findall(r'<img [^>]*src="([^"]+)"', (tmp_path / "site/quickstart/index.html").read_text())
    assert pictures
    assert [src for src in pictures if not (tmp_path / "site/quickstart" / src).resolve().exists()] == []


def test_the_readme_is_one_that_is_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
