"""Where a mutant changes the code, and which tests should notice: both are found by name, so that files may
move."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dima.config.yaml_file import read_yaml

# one line that heads a block of a Snakefile, and all below it that is indented further
BLOCK = re.compile(
    r"^(?P<indent> *)(?:def )?(?P<name>rule \w+|\w+)\b[^\n=]*:\n(?:(?P=indent) +[^\n]*\n|[ \t]*\n)+",
    re.MULTILINE,
)


class MutantError(Exception):
    """A mutant that does not fit the code: one sentence."""


@dataclass(frozen=True)
class Mutant:
    """A fault that somebody could make.

    Attributes:
        name: of the mutant.
        place: of what is changed: a function, `Class.method`, a module's constant, or `rule NAME` of a
            Snakefile, after as much of its module as distinguishes it from others.
        replace: a part of its source, which stands there once.
        by: what stands there instead.
        tests: functions, named like `place`, that should catch it.
        harm: what would happen if none did.
    """

    name: str
    place: str
    replace: str
    by: str
    tests: tuple[str, ...]
    harm: str


class Span(NamedTuple):
    """A part of a file, from character `start` to before character `end`."""

    path: Path
    start: int
    end: int


def read_mutants(folder: Path) -> list[Mutant]:
    """Those in the folder's YAML files, each under its name."""
    return [
        Mutant(name, fields["in"], fields["replace"], fields["by"], tuple(fields["tests"]), fields["harm"])
        for path in sorted(folder.glob("*.yaml"))
        for name, fields in read_yaml(path).items()
    ]


def mutated(root: Path, mutant: Mutant) -> tuple[Path, str]:
    """The file that the mutant changes, and its text with the change.

    Raises:
        MutantError: what it names is not there, or not once; or Python could not read the text.
    """
    path, start, end = _find(_code(root), mutant.place, f"Mutant {mutant.name} changes")
    text = path.read_text(encoding="utf-8")
    count = text.count(mutant.replace, start, end)
    if count != 1:
        raise MutantError(
            f"Mutant {mutant.name}: {mutant.replace!r} stands {count} times in {mutant.place}, not once."
        )
    position = text.index(mutant.replace, start, end)
    changed = text[:position] + mutant.by + text[position + len(mutant.replace) :]
    if path.suffix == ".py":
        try:
            ast.parse(changed)
        except SyntaxError as error:
            raise MutantError(f"Mutant {mutant.name} is no Python: {error}.") from None
    return path, changed


def node_ids(root: Path, mutant: Mutant) -> list[str]:
    """Node ids of the mutant's tests. Raises MutantError for a name of no test, or of several."""
    found = [(name, _find(_tests(root), name, f"Mutant {mutant.name} is for").path) for name in mutant.tests]
    return [f"{path.relative_to(root).as_posix()}::{name.rpartition('.')[2]}" for name, path in found]


def listed_files(root: Path) -> list[Path]:
    """All that git tracks or does not ignore, and that is there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    paths = [root / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() or path.is_symlink()]


def _find(spans: dict[str, Span], name: str, who: str) -> Span:
    found = [full for full in spans if f".{full}".endswith(f".{name}")]
    if not found:
        raise MutantError(f"{who} {name}, which is nowhere.")
    if len(found) > 1:
        raise MutantError(f"{who} {name}, which may be any of {', '.join(found)}.")
    return spans[found[0]]


@cache
def _code(root: Path) -> dict[str, Span]:
    """What a mutant may change, by its full name: all but tests and benchmarks."""
    files = [
        path for path in listed_files(root) if path.relative_to(root).parts[0] not in ("tests", "benchmarks")
    ]
    return {name: span for path in files for name, span in _named(root, path)}


@cache
def _tests(root: Path) -> dict[str, Span]:
    files = [
        path
        for path in listed_files(root)
        if path.relative_to(root).parts[0] == "tests" and path.name.startswith("test_")
    ]
    return {
        name: span
        for path in files
        for name, span in _named(root, path)
        if name.rpartition(".")[2].startswith("test_")
    }


def _named(root: Path, path: Path) -> Iterator[tuple[str, Span]]:
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    if path.suffix == ".py":
        text = path.read_text(encoding="utf-8")
        lines = [0]
        for line in text.splitlines(keepends=True):
            lines.append(lines[-1] + len(line))
        for name, first, last in _definitions(ast.parse(text).body):
            yield f"{module}.{name}", Span(path, lines[first - 1], lines[last])
    elif path.suffix == ".smk" or path.name == "Snakefile":
        for match in BLOCK.finditer(path.read_text(encoding="utf-8")):
            yield f"{module}.{match['name']}", Span(path, *match.span())


def _definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Functions, classes, what is in them, and constants: name, first and last line."""
    for node in body:
        last = node.end_lineno or node.lineno
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield (
                prefix + node.name,
                min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]),
                last,
            )
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                (prefix + target.id, node.lineno, last) for target in targets if isinstance(target, ast.Name)
            )
