"""The HTML of the pages: everything from records is escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dima.analysis.report.cell_files import FILM, CellFiles
from dima.analysis.report.cell_page import CellPage
from dima.analysis.report.chart import WIDTH
from dima.analysis.report.colors import method_colors
from dima.analysis.report.index_page import WORDS, IndexPage, word_of
from dima.analysis.tables import numbers
from dima.config.grid import Grid
from dima.record.mongo.database import SCHEMES

_ADDRESS = re.compile(rf"(?:{'|'.join(map(re.escape, SCHEMES))})[^\s<]*")


class Pages:
    """The templates with the globals that all pages of a report share.

    Args:
        grid: of the report.
        label: of synthetic records, for every page; None for real ones.
    """

    def __init__(self, grid: Grid, label: str | None) -> None:
        loader = PackageLoader("dima.analysis.report")
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        style, script = (loader.get_source(self._environment, name)[0] for name in ("style.css", "script.js"))
        self._environment.filters["slug"] = _slug
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        colors = method_colors(dict.fromkeys(key.method for key in grid.cells))
        colors = {_slug(method): pair for method, pair in colors.items()}
        self._environment.globals |= {"grid": grid, "label": label, "colors": colors, "numbers": numbers}
        self._environment.globals |= {"style": style, "script": script, "script_digest": digest}
        self._environment.globals |= {"width": WIDTH, "dash": numbers.NONE, "film": FILM}

    def index(self, page: IndexPage) -> str:
        """The first page."""
        methods = dict.fromkeys(key.method for key in page.grid.cells)
        about = {method: self._about(page.grid, method) for method in methods}
        return self._render("index.html.jinja", page=page, words=WORDS, word_of=word_of, about=about, root="")

    def cell(self, page: CellPage, others: Sequence[CellFiles]) -> str:
        """The page of a cell; `others` are the cells of its task and method."""
        return self._render("cell.html.jinja", page=page, others=others, root="../../../")

    def _render(self, name: str, **values: Any) -> str:
        # a database address may contain a password, and a library's error message in a record may repeat it
        return _ADDRESS.sub("(an address)", self._environment.get_template(name).render(values))

    @staticmethod
    def _about(grid: Grid, method: str) -> str:
        about = grid.about(method)
        return f"{about.source}; {about.deviations}" if about else "no configuration yet"


def _slug(text: str) -> str:
    """The text as part of an id or class."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in text)
