"""The methods as a table, made from their files."""

from __future__ import annotations

from pathlib import Path

from dima.grid import CONFIG_DIR, MethodSummary, method_summaries

COLUMNS = ("method", "engine", "suites", "a killed cell continues from", "source", "licence of what is run", "deviations from the paper")


def plain_text(config_dir: Path = CONFIG_DIR) -> str:
    """A paragraph for each method, for a terminal."""
    return "\n\n".join("\n".join(_paragraph(method)) for method in method_summaries(config_dir))


def markdown(config_dir: Path = CONFIG_DIR) -> str:
    """For the README: a table of the methods, and a list of the variants, which differ in one thing alone."""
    methods = method_summaries(config_dir)
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line([f"`{method.name}`", *_cells(method)]) for method in methods if not _is_variant(method)]
    return "\n".join([*lines, "", *(f"- `{method.name}`: {method.about.deviations}" for method in methods if _is_variant(method))])


def _is_variant(method: MethodSummary) -> bool:
    return method.extends is not None and method.name.startswith(f"{method.extends}-")


def _cells(method: MethodSummary) -> list[str]:
    about = method.about
    return [method.engine, ", ".join(about.suites), about.resume, about.source, about.licence, about.deviations]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _paragraph(method: MethodSummary) -> list[str]:
    if _is_variant(method):
        return [f"{method.name}: {method.extends}, but {method.about.deviations}"]
    return [method.name, *(f"  {name}: {cell}" for name, cell in zip(COLUMNS[1:], _cells(method), strict=True))]
