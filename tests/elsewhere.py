"""Files written by another process, with another hash seed, time zone and clock."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def assert_same_bytes_elsewhere(
    write: Callable[..., Any], paths: Sequence[Path], config: Path, results: Path
) -> None:
    """Another process writes figures and tables with the same bytes, and none of them contains a time.

    Args:
        write: `write_figures`, `write_tables` or `write_studies`.
        paths: of the files.
        config: folder of the grid `trial`.
        results: the folder.
    """
    first = [path.read_bytes() for path in paths]
    script = "import sys; from pathlib import Path; from dima.config.grid import load_grid; "
    script += (
        f"from dima.analysis.results import GridResults; from {write.__module__} import {write.__name__}; "
    )
    script += "grid, results = load_grid('trial', Path(sys.argv[1])), Path(sys.argv[2]); "
    shown = "grid" if write.__name__ == "write_studies" else "GridResults(grid, results)"
    script += f"{write.__name__}({shown}, results)"
    environment = os.environ | {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", script, config, results], check=True, env=environment)
    assert [path.read_bytes() for path in paths] == first
    assert not any(word in data for data in first for word in (b"CreationDate", b"dc:date", b"tIME"))
