"""Whether LaTeX is here with what the tables need of it."""

from __future__ import annotations

import shutil
import subprocess


def has_booktabs() -> bool:
    """Whether pdflatex finds the package booktabs."""
    names = ("pdflatex", "kpsewhich")
    return (
        all(map(shutil.which, names))
        and not subprocess.run([names[1], "booktabs.sty"], capture_output=True, check=False).returncode
    )
