"""From what a page shows to its HTML.

Everything that comes from records is escaped; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dima.analysis.report.cell_files import FILM, CellFiles
from dima.analysis.report.cell_page import CellPage, hours
from dima.analysis.report.chart import WIDTH
from dima.analysis.report.colors import method_colors
from dima.analysis.report.index_page import WORDS, IndexPage, word_of
from dima.analysis.tables.csv_text import text_of
from dima.analysis.tables.markup import NONE, plus_minus
from dima.config.grid import Grid
from dima.record.mongo.database import SCHEMES

_ADDRESS = re.compile(rf"(?:{'|'.join(map(re.escape, SCHEMES))})[^\s<]*")


class Pages:
    """The templates, filled with what all pages of a report share.

    Args:
        grid: of the report.
        label: what every page must say of synthetic records, None for real ones.
    """

    def __init__(self, grid: Grid, label: str | None) -> None:
        loader = PackageLoader("dima.analysis.report")
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        style, script = (loader.get_source(self._environment, name)[0] for name in ("style.css", "script.js"))
        self._environment.filters |= {
            "hours": hours,
            "slug": _slug,
            "exact": text_of,
            "plus_minus": plus_minus,
            "signed": _signed,
        }
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        colors = method_colors(dict.fromkeys(key.method for key in grid.cells))
        self._environment.globals |= {
            "grid": grid, "label": label, "style": style, "script": script, "script_digest": digest,
            "colors": {_slug(method): pair for method, pair in colors.items()}, "width": WIDTH, "dash": NONE, "film": FILM,
        }  # fmt: skip

    def index(self, page: IndexPage) -> str:
        """The first page."""
        about = {
            method: self._about(page.grid, method)
            for method in dict.fromkeys(key.method for key in page.grid.cells)
        }
        return self._render("index.html.jinja", page=page, words=WORDS, word_of=word_of, about=about, root="")

    def cell(self, page: CellPage, others: Sequence[CellFiles]) -> str:
        """The page of a cell; `others` are the cells of its task and method."""
        return self._render("cell.html.jinja", page=page, others=others, root="../../../")

    def _render(self, name: str, **values: Any) -> str:
        # an address of a database may hold a password; no record holds one, but what a failed library said
        # may
        return _ADDRESS.sub("(an address)", self._environment.get_template(name).render(values))

    @staticmethod
    def _about(grid: Grid, method: str) -> str:
        about = grid.about(method)
        return f"{about.source}; {about.deviations}" if about else "there is no configuration of it yet"


def _slug(text: str) -> str:
    """The text as a part of an id or class."""
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in text)


def _signed(value: float) -> str:
    return f"{value:+.1f}"
