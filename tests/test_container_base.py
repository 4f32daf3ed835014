"""The cache of root file systems that images of the tests are built from."""

from __future__ import annotations

import os
from pathlib import Path

import container_base
import pytest


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were filled, in a cache of this test's own."""
    folders: list[Path] = []

    def make(root: Path, *wanted: str) -> None:
        (root / "usr").mkdir(parents=True)
        (root / "usr/packages").write_text(" ".join(wanted), encoding="utf-8")
        folders.append(root)

    monkeypatch.setattr(container_base, "make_base", make)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return folders


def test_a_root_file_system_is_made_once_for_the_same_packages(made: list[Path], tmp_path: Path) -> None:
    bases = [container_base.cached_base(*names) for names in (["numpy"], ["pyyaml"], ["numpy"])]
    assert bases[0] == bases[2] != bases[1]
    assert len(made) == 2
    assert (bases[0] / "usr/packages").read_text(encoding="utf-8") == "numpy"
    assert set((tmp_path / "dima-tests").iterdir()) == set(bases)


def test_two_are_kept_those_used_last(made: list[Path]) -> None:
    first, second = (container_base.cached_base(name) for name in ("numpy", "pyyaml"))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    assert container_base.cached_base("numpy") == first
    third = container_base.cached_base("rich")
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)


def test_one_that_another_process_made_meanwhile_is_taken(
    made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = container_base.make_base

    def slowly(root: Path, *wanted: str) -> None:
        monkeypatch.setattr(container_base, "make_base", make)
        container_base.cached_base(*wanted)
        make(root, *wanted)

    monkeypatch.setattr(container_base, "make_base", slowly)
    base = container_base.cached_base("numpy")
    assert len(made) == 2
    assert list(base.parent.iterdir()) == [base]


def test_nothing_is_left_of_one_that_failed(
    made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(root: Path, *wanted: str) -> None:
        (root / "half").mkdir(parents=True)
        raise OSError("no mirror answers")

    monkeypatch.setattr(container_base, "make_base", fail)
    with pytest.raises(OSError, match="no mirror answers"):
        container_base.cached_base("numpy")
    assert list((tmp_path / "dima-tests").iterdir()) == []
