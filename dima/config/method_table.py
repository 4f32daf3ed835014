"""The methods as a table, made from their files."""

from __future__ import annotations

from pathlib import Path

from dima.config.method_files import CONFIG_DIR, MethodSummary, method_summaries

COLUMNS = (
    "method",
    "engine",
    "suites",
    "a killed cell continues from",
    "source",
    "licence of what is run",
    "deviations from the paper",
)


def plain_text(config_dir: Path = CONFIG_DIR) -> str:
    """A paragraph for each method, for a terminal."""
    rows, variants = _told_apart(config_dir)
    paragraphs = {method.name: _paragraph(method) for method in rows}
    paragraphs |= {
        method.name: [f"{method.name}: {method.extends}, but {method.about.deviations}"]
        for method in variants
    }
    return "\n\n".join("\n".join(paragraph) for paragraph in paragraphs.values())


def markdown(config_dir: Path = CONFIG_DIR) -> str:
    """For the README: a table of the methods, and a list of the variants, which differ in one thing alone."""
    rows, variants = _told_apart(config_dir)
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line([f"`{method.name}`", *_cells(method)]) for method in rows]
    return "\n".join([*lines, "", *(f"- `{method.name}`: {method.about.deviations}" for method in variants)])


def _told_apart(config_dir: Path) -> tuple[list[MethodSummary], list[MethodSummary]]:
    """The methods that have a row of their own, and the variants.

    Named after the method they extend, and computed by the same engine.
    """
    methods = method_summaries(config_dir)
    engines = {method.name: method.engine for method in methods}
    variants = [
        method
        for method in methods
        if method.extends is not None
        and method.name.startswith(f"{method.extends}-")
        and method.engine == engines[method.extends]
    ]
    return [method for method in methods if method not in variants], variants


def _cells(method: MethodSummary) -> list[str]:
    about = method.about
    return [
        method.engine,
        ", ".join(about.suites) or "all",
        about.resume,
        about.source,
        about.licence,
        about.deviations,
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _paragraph(method: MethodSummary) -> list[str]:
    return [
        method.name,
        *(f"  {name}: {cell}" for name, cell in zip(COLUMNS[1:], _cells(method), strict=True)),
    ]
