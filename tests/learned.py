"""Proofs that a method learns, remembered by what they rest on: they run again when that has changed."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grimp

from dima.config.grid import CellKey, load_grid
from dima.config.registry import METHODS

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "tests/learned"
SEEDS = (1, 2)
TRAIN = """
import sys
from pathlib import Path
from dima.cli import main
loaded, *arguments = sys.argv[1:]
status = main(arguments)
names = [name for name in sys.modules if name.partition(".")[0] in ("dima", "envs")]
Path(loaded).write_text("\\n".join(names))
sys.exit(status)
"""


class Proof:
    """Two seeds of a grid's cell on push-mass, trained in full."""

    def __init__(self, grid: str, method: str, root: Path = ROOT) -> None:
        self.grid, self.method, self.root = grid, method, root
        self.path = RECORDS / f"{grid}.{method}.json"

    def digest(self, modules: Iterable[str]) -> str:
        """Of what these modules compute, both cells' configurations and the lock."""
        parts = [meaning(source(self.root, name)) for name in sorted(modules)]
        grid = load_grid(self.grid, self.root / "workflow/config")
        parts += [grid.resolve(CellKey("push-mass", self.method, seed)).model_dump_json() for seed in SEEDS]
        parts.append((self.root / "requirements.lock").read_text(encoding="utf-8"))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def remembered(self) -> dict[str, Any] | None:
        """The record, or None where there is none or what it rests on has changed."""
        if not self.path.exists():
            return None
        record = json.loads(self.path.read_text(encoding="utf-8"))
        try:
            return record if record["digest"] == self.digest(record["modules"]) else None
        except FileNotFoundError:  # a module has moved
            return None

    def train(self, results: Path) -> dict[str, Any]:
        """Train both seeds at the same time; returns the record. Raises CalledProcessError if one of them
        fails."""
        processes = [self._start(seed, results) for seed in SEEDS]
        for process in processes:
            subprocess.CompletedProcess(process.args, process.wait()).check_returncode()
        modules = sorted(method_modules((results / f"loaded-{SEEDS[0]}").read_text().splitlines()))
        summaries = [
            results / self.grid / f"cells/push-mass/{self.method}/seed-{seed}/summary.json" for seed in SEEDS
        ]
        summaries = [json.loads(summary.read_text()) for summary in summaries]
        (start,) = summaries[0]["provenance"]
        return {
            "command": " ".join(["dima", *self._arguments(SEEDS[0])]),
            "seeds": SEEDS,
            "final_returns": [round(summary["final"]["mean"], 3) for summary in summaries],
            "episodes": [summary["final"]["episodes"] for summary in summaries],
            "commit": start["commit"],
            "dirty": start["dirty"],
            "hardware": start["hardware"],
            "torch": start["versions"]["torch"],
            "digest": self.digest(modules),
            "modules": modules,
        }

    def remember(self, record: dict[str, Any]) -> None:
        """Keep the record for as long as what it rests on stays the same."""
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _arguments(self, seed: int) -> list[str]:
        return [
            "train",
            "--grid",
            self.grid,
            "--task",
            "push-mass",
            "--method",
            self.method,
            "--seed",
            str(seed),
        ]

    def _start(self, seed: int, results: Path) -> subprocess.Popen[bytes]:
        loaded = results / f"loaded-{seed}"
        return subprocess.Popen(
            [sys.executable, "-c", TRAIN, loaded, *self._arguments(seed), "--results", results], cwd=self.root
        )


def method_modules(loaded: Iterable[str]) -> set[str]:
    """Those of the loaded modules that learn or simulate: what runs, records and displays cells is left
    out."""
    graph = grimp.build_graph("dima", "envs", cache_dir=None)
    named = {"dima.cell.methods", "dima.experience.evaluate", *learner_modules()}
    reached = named.union(*(graph.find_upstream_modules(name) for name in named))
    return {name for name in loaded if name in reached or name.partition(".")[0] == "envs"}


def learner_modules() -> set[str]:
    """What `dima.cell.methods` imports by name when a learner is built."""
    return {learner.partition(":")[0] for learner in METHODS.values()}


def source(root: Path, module: str) -> Path:
    """The file of a module."""
    path = root / f"{module.replace('.', '/')}.py"
    return path if path.exists() else path.with_suffix("") / "__init__.py"


def meaning(path: Path) -> str:
    """The code of a file without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_text(one)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
