"""Environment variables that configure Apptainer; command lines would appear in logs and process lists."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dima.errors import UserError
from dima.record.mongo.database import URI_FILE

# what a cell reads of the host's environment
LET_THROUGH = re.compile(r"SLURM_\w+|CUDA_VISIBLE_DEVICES|DIMA_MONGO_URI(_FILE)?")
# of the host: variables for containers, and options that make an image writable
UNWANTED = re.compile(
    r"(APPTAINER|SINGULARITY)(ENV_\w+|_WRITABLE|_WRITABLE_TMPFS|_OVERLAY|_CONTAINLIBS|_ENV_FILE)"
)
GPU = Path("/dev/nvidiactl")


def container_environment(environ: Mapping[str, str], folder: Path, gpu: bool) -> dict[str, str]:
    """The environment for Apptainer: clean inside, no home, `folder` readable and its `results` writable.

    Args:
        environ: the present one.
        folder: the repository, or where the workflow runs; an absolute path.
        gpu: whether to add the NVIDIA driver.

    Raises:
        UserError: Apptainer cannot bind a folder of this name.
    """
    results = Path(os.path.realpath(folder / "results"))
    private = os.path.abspath(environ[URI_FILE]) if environ.get(URI_FILE) else None
    for path in filter(None, (folder, results, private)):
        if re.search(r"[,:\n]", str(path)):
            fault = "its name contains a comma, a colon or a line break"
            raise UserError(f"Apptainer cannot bind {str(path)!r} in a container: {fault}.")
    binds = [
        environ.get("APPTAINER_BIND"),
        f"{folder}:{folder}:ro",
        f"{results}:{results}",
        private and f"{private}:{private}:ro",
    ]
    kept = {name: value for name, value in environ.items() if not UNWANTED.fullmatch(name)}
    inside = {f"APPTAINERENV_{name}": value for name, value in environ.items() if LET_THROUGH.fullmatch(name)}
    options = {
        "CLEANENV": "1",
        "NO_HOME": "1",
        "NO_MOUNT": "cwd",
        "BIND": ",".join(filter(None, binds)),
        **({"NV": "1"} if gpu else {}),
    }
    return {**kept, **inside, **{f"APPTAINER_{name}": value for name, value in options.items()}}
