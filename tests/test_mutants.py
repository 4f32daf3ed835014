"""The mutants fit the code as it is, and what tries them tells a caught one from one that was not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mutants.__main__ import HERE, main
from mutants.places import Mutant, MutantError, mutated, node_ids, read_mutants
from mutants.run import CAUGHT, NOT_RUN, SURVIVED, refuse_failing, try_all

ROOT = Path(__file__).parents[1]
FILES = {
    "package/sums.py": """def double(x):
    # 2 * x
    return 2 * x


class Halves:
    def half(self, x):
        return x / 2
""",
    "package/other.py": "def double(x):\n    return x + x\n",
    "package/rules/cells.smk": """rule cell:
    output:
        "a",
    shell:
        "make a"


rule other:
    output:
        "a",
""",
    "tests/conftest.py": """def pytest_addoption(parser):
    for name in ("--slow", "--every-proof"):
        parser.addoption(name, action="store_true")
""",
    "tests/test_sums.py": """import pytest
from package.sums import Halves, double
def test_double():
    assert double(3) == 6
@pytest.mark.parametrize("half_of", [0])
def test_half(half_of):
    assert Halves().half(half_of) == 0
def test_broken():
    assert double(3) == 7
@pytest.mark.skip
def test_skipped():
    assert double(3) == 6
""",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "link").symlink_to("package")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    # pytest starts faster without the plugins that this project needs none of
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin")
    return root


def mutant(
    place: str = "sums.double", replace: str = "return 2", by: str = "return 3", test: str = "test_double"
) -> Mutant:
    return Mutant(by, place, replace, by, (test,), "")


def test_every_mutant_fits_the_code_and_its_tests_are_there() -> None:
    """Where this fails, somebody changed what a mutant changes, or renamed a test: the mutant has to
    follow."""
    mutants = read_mutants(HERE)
    assert len(mutants) >= 30
    faults = []
    for one in mutants:
        try:
            path, text = mutated(ROOT, one)
            assert text != path.read_text(encoding="utf-8")
            assert not [
                test for test in node_ids(ROOT, one) if "test_learning.py" in test
            ]  # which trains for hours
        except MutantError as error:
            faults.append(str(error))
    assert faults == []


def test_what_is_changed_is_found_by_its_name(project: Path) -> None:
    path, text = mutated(project, mutant())
    assert (path, text) == (
        project / "package/sums.py",
        FILES["package/sums.py"].replace("return 2", "return 3"),
    )
    path, text = mutated(project, mutant("Halves.half", "x / 2", "x / 3"))
    assert "x / 3" in text
    path, text = mutated(project, mutant("rule other", '"a"', '"b"'))
    assert (path.name, text) == ("cells.smk", FILES["package/rules/cells.smk"][: -len('"a",\n')] + '"b",\n')
    assert node_ids(project, mutant()) == ["tests/test_sums.py::test_double"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (mutant(place="treble"), "changes treble, which is nowhere"),
        (mutant(place="double"), "may be any of package.other.double, package.sums.double"),
        (mutant(replace="2 * x"), "'2 \\* x' stands 2 times in sums.double, not once"),
        (mutant(replace="x / 2"), "stands 0 times in sums.double, not once"),
        (mutant(by="return ("), "is no Python"),
        (mutant(test="test_treble"), "is for test_treble, which is nowhere"),
    ],
)
def test_a_mutant_that_does_not_fit_is_refused_in_one_sentence(
    project: Path, changed: Mutant, words: str
) -> None:
    with pytest.raises(MutantError, match=words):
        list(try_all(project, project / "copies", [changed], 1))


def test_a_caught_mutant_is_told_from_one_that_survives_and_one_that_no_test_ran_on(
    project: Path, tmp_path: Path
) -> None:
    mutants = [
        mutant(),
        mutant("Halves.half", "x / 2", "x / 3", "test_half"),
        mutant(by="import nowhere\n    return 2"),
        mutant(replace="return 2 * x", by="return 2 * x\n\n\nimport nowhere"),
    ]
    outcomes = list(try_all(project, tmp_path / "copies", mutants, 2))
    assert [outcome.word for outcome in outcomes] == [CAUGHT, SURVIVED, CAUGHT, NOT_RUN]
    assert [outcome.told for outcome in outcomes[:3]] == ["test_double", "", "test_double"]
    assert outcomes[3].told == "ModuleNotFoundError: No module named 'nowhere'"
    for folder in (project, tmp_path / "copies/0", tmp_path / "copies/1"):
        assert {name: (folder / name).read_text() for name in FILES} == FILES
        assert (folder / "link").readlink() == Path("package")


@pytest.mark.parametrize(
    ("test", "words"),
    [("test_broken", "do not pass: test_broken"), ("test_skipped", "can catch nothing: .*test_skipped")],
)
def test_a_test_that_fails_or_is_skipped_anyway_is_refused(project: Path, test: str, words: str) -> None:
    with pytest.raises(MutantError, match=words):
        refuse_failing(project, [f"tests/test_sums.py::{test}"], 1)


def test_an_unknown_mutant_is_refused_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-mutant"]) == 2
    assert capsys.readouterr().err.startswith("There is no mutant no-such-mutant; there are ")
