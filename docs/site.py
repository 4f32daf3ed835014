"""Hooks of mkdocs: links to files of the repository, which the site does not have, and formulas as MathML."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
OUTSIDE = re.compile(r"(!?)\[([^\]]*)\]\(\.\./([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures outside `docs` that pages show, under their path in the repository."""
    shown = {
        match[3]
        for page in files.documentation_pages()
        for match in OUTSIDE.finditer(page.content_string)
        if match[1]
    }
    for path in sorted(shown):
        files.append(File.generated(config, f"repository/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Show those pictures from there, and other files of the repository by their path instead of a link."""

    def inside(match: re.Match[str]) -> str:
        picture, text, path = match.groups()
        if picture:
            return f"![{text}](repository/{path})"
        name = path.partition("#")[0]
        return text if text.strip("`") == name else f"{text} (`{name}`)"

    return OUTSIDE.sub(inside, markdown)


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Formulas for the browser itself, without a script from elsewhere."""

    def as_mathml(match: re.Match[str]) -> str:
        return convert(html.unescape(match[2]), display="inline" if match[1] == "span" else "block")

    return FORMULA.sub(as_mathml, content)
