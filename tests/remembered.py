"""Dear tests that passed, remembered by what they rest on: they run again when that has changed."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import grimp
from learned import ROOT, learner_modules, meaning, source

RECORDS = ROOT / "tests/remembered"
PACKAGES = ("dima", "envs", "benchmarks")


def record_of(test_file: Path) -> Path:
    """Where it is remembered that the slow tests of a file passed."""
    return RECORDS / f"{'.'.join(test_file.relative_to(ROOT / 'tests').with_suffix('').parts)}.json"


def is_remembered(test_file: Path) -> bool:
    """Whether the marked tests of the file passed with all that they rest on as it is now."""
    record = record_of(test_file)
    return record.exists() and json.loads(record.read_text(encoding="utf-8"))["digest"] == digest(test_file)


def remember(test_file: Path, tests: Iterable[str]) -> None:
    """Note that these tests of the file, all that are marked, passed."""
    RECORDS.mkdir(exist_ok=True)
    content = {"digest": digest(test_file), "passed": sorted(tests)}
    record_of(test_file).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@cache
def digest(test_file: Path) -> str:
    """Of the file with its fixtures, of all that they import of the project, directly or not, and of all that
    is no Python."""
    files = [test_file, *_fixtures(test_file)]
    parts = [meaning(path) for path in [*files, ROOT / "tests/conftest.py"]]
    parts += [f"{name}\n{meaning(path)}" for name, path in sorted(set().union(*map(_reached, files)))]
    runs_workflows = "snakemake" in test_file.read_text(encoding="utf-8")
    parts += [
        f"{path.relative_to(ROOT)}\n{path.read_text(encoding='utf-8')}"
        for path in _data(runs_workflows=runs_workflows)
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _fixtures(test_file: Path) -> list[Path]:
    """The conftest.py of every folder below `tests` that the file is in: what that of `tests` imports would
    be a part of every digest."""
    folders = [
        folder
        for folder in test_file.parents
        if folder.is_relative_to(ROOT / "tests") and folder != ROOT / "tests"
    ]
    return [path for folder in folders if (path := folder / "conftest.py").exists()]


def _data(*, runs_workflows: bool) -> list[Path]:
    """The locks, and every file of the packages and the workflow that is not Python: configurations,
    templates, numbers.

    Rules and profiles count for a file that runs workflows.
    """
    folders = (
        ("dima", "envs", "workflow")
        if runs_workflows
        else ("dima", "envs", "workflow/config", "workflow/reference")
    )
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    locks = [ROOT / "requirements.lock", ROOT / "tests/mongo-server.txt"]
    return [*locks, *sorted(path for path in files if path.suffix not in (".py", ".pyc"))]


def _reached(test_file: Path) -> Iterator[tuple[str, Path]]:
    """The modules, by name, that the file rests on."""
    graph = _graph()
    named = {name for name in _imported(test_file) if name in graph.modules}
    if '"-m", "dima"' in test_file.read_text(encoding="utf-8"):  # it runs the command
        named.add("dima.__main__")
    reached = named.union(*(graph.find_upstream_modules(name) for name in named))
    if "envs.registry" in reached:  # it imports tasks by name, when they are made
        reached |= {name for name in graph.modules if name.partition(".")[0] == "envs"}
    if "dima.cell.methods" in reached:  # it imports learners by name, when they are built
        reached |= (named := learner_modules()).union(*map(graph.find_upstream_modules, named))
    for name in reached:
        yield name, source(ROOT, name)
    for name in _imported(test_file) - {"conftest"}:
        helper = ROOT / "tests" / f"{name.replace('.', '/')}.py"
        if helper.exists():
            yield name, helper
            yield from _reached(helper)


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def _imported(test_file: Path) -> set[str]:
    """The modules that a file names in its imports and in the code that it has other processes run."""
    tree = ast.parse(test_file.read_text(encoding="utf-8"))
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    lines = "\n".join(
        line for text in texts for line in text.splitlines() if line.startswith(("import ", "from "))
    )
    nodes = [node for part in (tree, *_parsed(lines)) for node in ast.walk(part)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _parsed(lines: str) -> Iterator[ast.AST]:
    for line in lines.splitlines():
        try:
            yield ast.parse(line)
        except SyntaxError:  # a sentence
            continue
