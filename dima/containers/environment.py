"""How Apptainer is to run a cell, told by environment variables.

Command lines are in every log and every list of processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dima.errors import UserError
from dima.record.mongo.database import URI_FILE

# what a cell reads; everything else of the host's environment stays outside
LET_THROUGH = re.compile(r"SLURM_\w+|CUDA_VISIBLE_DEVICES|DIMA_MONGO_URI(_FILE)?")
# of the host: variables for the inside of containers, and options that would make an image writable
UNWANTED = re.compile(
    r"(APPTAINER|SINGULARITY)(ENV_\w+|_WRITABLE|_WRITABLE_TMPFS|_OVERLAY|_CONTAINLIBS|_ENV_FILE)"
)
GPU = Path("/dev/nvidiactl")


def container_environment(environ: Mapping[str, str], folder: Path, gpu: bool) -> dict[str, str]:
    """The environment in which to call Apptainer.

    A clean one inside, no home, `folder` readable and its `results` writable.

    Args:
        environ: the present one.
        folder: the repository, or wherever the workflow runs; an absolute path.
        gpu: whether to bring the NVIDIA driver in.

    Raises:
        UserError: Apptainer could not be told of a folder of this name.
    """
    results = Path(os.path.realpath(folder / "results"))
    private = os.path.abspath(environ[URI_FILE]) if environ.get(URI_FILE) else None
    for path in filter(None, (folder, results, private)):
        if re.search(r"[,:\n]", str(path)):
            raise UserError(
                f"Apptainer cannot bring {str(path)!r} into a container: a comma, a colon or a line break is in its name."
            )
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
