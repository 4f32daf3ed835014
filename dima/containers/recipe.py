"""The recipe of an image, and whether a built image is up to date."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dima.errors import UserError
from dima.record.image import locked

FOLDER = Path("containers")
BUILT_ON = {"harl": "dima"}  # by its own definition's default
SOURCES = ("requirements.lock", "pyproject.toml", "dima", "envs")  # of an image that holds this project


def image_path(name: str) -> Path:
    """The image's file, from the repository's root."""
    return FOLDER / f"{name}.sif"


def definition(name: str) -> Path:
    """The image's definition file. Raises UserError with the choices if there is none."""
    choices = sorted(path.stem for path in FOLDER.glob("*.def"))
    if name not in choices:
        known = ", ".join(choices) or "nothing: run this from the root of the repository"
        raise UserError(f"Unknown image {name!r}; choose from {known}.")
    return FOLDER / f"{name}.def"


def arguments(name: str) -> dict[str, str]:
    """The image's build arguments, from `containers/<name>.arguments` if it exists.

    Raises:
        UserError: a line is neither `key=value` nor a comment.
    """
    path = FOLDER / f"{name}.arguments"
    if not path.exists():
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    for key, equals, _ in pairs:
        if not (equals and key.isidentifier()):
            raise UserError(f"{path} has the line {key + equals!r}, which is not key=value.")
    return {key: value for key, _, value in pairs}


def recipe(name: str) -> str:
    """SHA-256 of definition, arguments, lock and this project's packages, in hexadecimal."""
    parts = [
        ("definition", definition(name).read_bytes()),
        ("arguments", repr(sorted(arguments(name).items())).encode()),
    ]
    if name == "dima":
        parts += [(str(path), path.read_bytes()) for path in _sources()]
    if name in BUILT_ON:
        parts.append(("base", recipe(BUILT_ON[name]).encode()))
    listed = (f"{hashlib.sha256(content).hexdigest()} {label}\n" for label, content in parts)
    return hashlib.sha256("".join(listed).encode()).hexdigest()


def require_built(image: Path) -> None:
    """Raise UserError for an image that is missing or not built from its present recipe."""
    build = f"build it with `snakemake --cores 1 --force {image}`"
    if not image.exists():
        raise UserError(f"There is no {image} to run cells in: {build}.")
    if locked(image).get("recipe") != recipe(image.stem):
        raise UserError(f"{image} was not built from these sources, or images.lock does not say so: {build}.")


def _sources() -> list[Path]:
    paths = [path for root in map(Path, SOURCES) for path in ([root] if root.is_file() else root.rglob("*"))]
    return sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)
