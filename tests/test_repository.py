"""What must not stand in any tracked file."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from dima.config import yaml_file

ROOT = Path(__file__).parents[1]
LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
)
FILES = [ROOT / name for name in LISTED.stdout.split("\0") if name and (ROOT / name).is_file()]
PYTHON = [
    path for path in FILES if path.suffix == ".py" and ROOT / "tests" not in path.parents
]  # tests forge what must be refused
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:home|root|tmp|work|opt|mnt|scratch|Users)/\w")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|conda\.anaconda|--(?:extra-)?index-url|--find-links"
)
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "torch.load",
    "torch.save",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "os.system",
    "np.load",
}


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a picture


def test_there_are_files_to_look_at() -> None:
    assert {ROOT / "Snakefile", ROOT / "dima/config/grid.py", ROOT / "requirements.lock"} <= set(FILES)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine paths", "registry hosts"])
def test_no_file_names_a_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in FILES
        if path != Path(__file__)
        for match in pattern.finditer(text_of(path))
    ]
    assert found == []


def unsafe(tree: ast.AST) -> list[str]:
    """The unsafe imports and calls in the tree, by name."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += [
                name
                for name in [ast.unparse(node.func)]
                if name in UNSAFE_CALLS and not (name == "np.load" and unpickles_nothing(node))
            ]
            found += [
                "shell=True"
                for word in node.keywords
                if word.arg == "shell" and ast.unparse(word.value) != "False"
            ]
    return found


def unpickles_nothing(call: ast.Call) -> bool:
    """Whether the call of numpy's `load` says so itself, whatever its version has by default."""
    return any(word.arg == "allow_pickle" and ast.unparse(word.value) == "False" for word in call.keywords)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pickle", ["pickle"]),
        ("from dill import dumps", ["dill"]),
        ("eval(text)", ["eval"]),
        ("torch.load(path)", ["torch.load"]),
        ("yaml.load(text, Loader=yaml.Loader)", ["yaml.load"]),
        ("run(command, shell=True)", ["shell=True"]),
        (
            "np.load(path); np.load(path, allow_pickle=True); np.load(path, allow_pickle=False)",
            ["np.load"] * 2,
        ),
        ("model.eval(); run(command, shell=False); yaml.safe_load(text)", []),
    ],
)
def test_the_search_finds_what_it_looks_for(code: str, found: list[str]) -> None:
    assert unsafe(ast.parse(code)) == found


def test_no_code_unpickles_evaluates_or_opens_a_shell() -> None:
    found = {
        str(path.relative_to(ROOT)): names for path in PYTHON if (names := unsafe(ast.parse(text_of(path))))
    }
    assert found == {
        "dima/baselines/checkout/foreign_pickle.py": [
            "pickle"
        ],  # MARIE writes its evaluations so; what a pickle names is never called
        "dima/config/yaml_file.py": ["yaml.load"],  # with a loader of its own, which the next test looks at
    }


def test_yaml_is_read_by_a_safe_loader() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(text_of(ROOT / "dima/config/yaml_file.py")))
        if isinstance(node, ast.Call)
    ]
    loads = [call for call in calls if ast.unparse(call.func) == "yaml.load"]
    assert [ast.unparse(word.value) for call in loads for word in call.keywords] == ["_Loader"]
    assert issubclass(yaml_file._Loader, yaml_file.yaml.SafeLoader)
