"""A root file system that stands in for a public base image: Debian, with this Python and the packages that
the images ask for.

With the packages there already, pip has nothing to fetch, and an image takes seconds instead of minutes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
UNNEEDED = re.compile(r"(^|/)(\.\.|tests?|include)(/|$)")
KEPT = 2  # in the cache: two checkouts may be at work


def cached_base(*wanted: str) -> Path:
    """What `make_base` makes, kept outside the checkout while packages, Python and this file stay the
    same."""
    packages = sorted(f"{one.name}=={one.version}" for one in closure(wanted))
    made_from = [Path(__file__).read_text(encoding="utf-8"), sys.version, sys.base_prefix, *packages]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dima-tests"
    base = cache / f"base-{hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]}"
    if not base.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="making-", ignore_cleanup_errors=True) as aside:
            make_base(Path(aside, "base"), *wanted)
            with suppress(OSError):  # another process was faster
                Path(aside, "base").rename(base)
    os.utime(base)
    for old in sorted(cache.glob("base-*"), key=os.path.getmtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return base


def make_base(root: Path, *wanted: str) -> None:
    """Fill the folder `root`, which must not exist, with a root file system that holds `wanted`
    (requirements) and what they require."""
    without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", *without, "bookworm", root], check=True, timeout=240
    )
    shutil.rmtree(root / "dev")
    (root / "dev").mkdir()
    for path in [root, *root.rglob("*")]:
        os.chown(
            path, 0, 0, follow_symlinks=False
        )  # a root user without capabilities could not unpack an image with other owners
    local = root / "usr/local"
    _copy_interpreter(local)
    for one in closure(wanted):
        for file in one.files or []:
            source = Path(str(one.locate_file(file)))
            if source.is_file() and not UNNEEDED.search(str(file)):
                _link(source, local / "lib" / PYTHON / "site-packages" / file)
    subprocess.run(["ldconfig", "-r", root], check=True, timeout=60)


def closure(wanted: tuple[str, ...]) -> list[Distribution]:
    """The installed distributions of `wanted`, and of all that they require here, but for this project."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = [Requirement(text) for text in wanted]
    while waiting:
        requirement = waiting.pop()
        key = (requirement.name.lower(), frozenset(requirement.extras))
        if key not in found:
            found[key] = distribution(requirement.name)
            for more in map(Requirement, found[key].requires or []):
                if more.marker is None or any(
                    more.marker.evaluate({"extra": extra}) for extra in requirement.extras or {""}
                ):
                    waiting.append(more)
    return [one for (name, _), one in found.items() if name != "dima"]


def _copy_interpreter(local: Path) -> None:
    base = Path(sys.base_prefix)
    unneeded = shutil.ignore_patterns(
        "test", "site-packages", "config-*", "idlelib", "tkinter", "_tkinter*", "lib2to3"
    )
    shutil.copytree(
        base / "lib" / PYTHON, local / "lib" / PYTHON, symlinks=True, dirs_exist_ok=True, ignore=unneeded
    )
    binary = local / "bin" / PYTHON
    shutil.copy2(os.path.realpath(sys.executable), binary)
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(PYTHON)
    for library in _libraries(binary, *(local / "lib" / PYTHON / "lib-dynload").glob("*.so")):
        if not any(
            (local.parents[1] / folder / library.name).exists()
            for folder in ("lib/x86_64-linux-gnu", "usr/local/lib")
        ):
            shutil.copy2(library, local / "lib")


def _libraries(*binaries: Path) -> set[Path]:
    """The shared libraries that the binaries load on this machine."""
    listed = subprocess.run(
        ["ldd", *binaries], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    return {Path(name) for name in re.findall(r"=> (/\S+)", listed)}


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:  # a file of two distributions
        pass
    except OSError:  # another file system
        shutil.copy2(source, target)
