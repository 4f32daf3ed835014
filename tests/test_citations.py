"""Every page that code, configuration or another page cites is in the repository, and every cited anchor is
one of its headings."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
)
PAGE = re.compile(r"(?<![\w./<>*-])((?:[\w.-]+/)*[\w.-]+\.md)\b(?:#([\w-]+))?")
LINK = re.compile(r"\]\(([^()\s]+)\)")
SUFFIXES = (".py", ".yaml", ".smk", ".md")
WRITTEN_BY_RUNS = {"tables/final_returns.md", "tables/ablation_returns.md", "tables/prediction_error.md"}
"""Pages below `results/<grid>` that the workflow writes: named, not cited."""


class Citation(NamedTuple):
    """What the file `source` says of a page, or of another file that it links to."""

    source: str
    target: str
    anchor: str
    is_link: bool = False


def prose(name: str, text: str) -> Iterator[str]:
    """What a reader reads of a file: in code that is comments and docstrings, since other strings are paths
    that it writes or looks for."""
    if name.endswith(".py"):
        yield from (
            token.string
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        )
        yield from (
            node.value.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
    elif name.endswith(".smk") or name == "Snakefile":
        yield from re.findall(r"#.*|\"\"\".*?\"\"\"", text)
    else:
        yield text


def citations(name: str, text: str) -> list[Citation]:
    """Pages named in prose, and the targets of a page's links."""
    if not name.endswith(".md"):
        return [Citation(name, *match) for part in prose(name, text) for match in PAGE.findall(part)]
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    links = [target.partition("#") for target in LINK.findall(text) if not re.match(r"[a-z]+:", target)]
    named = PAGE.findall(LINK.sub("]", text))
    return [Citation(name, target, anchor, is_link=True) for target, _, anchor in links] + [
        Citation(name, *match) for match in named
    ]


@cache
def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: small letters, no punctuation, hyphens for spaces, a number
    where two are equal."""
    slugs: list[str] = []
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slugs.append(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    return {
        f"{slug}-{before}" if (before := slugs[:number].count(slug)) else slug
        for number, slug in enumerate(slugs)
    }


def fault(citation: Citation) -> str | None:
    """Why the citation leads nowhere. It is looked for from the folder of the citing file and, unless it is a
    link, from the root."""
    source = ROOT / citation.source
    folders = [source.parent] if citation.is_link else [source.parent, ROOT]
    places = [folder / citation.target for folder in folders] if citation.target else [source]
    place = next((place for place in places if place.exists()), None)
    if place is None:
        return f"{citation.source} cites {citation.target}, which is not there"
    if citation.anchor and (place.suffix != ".md" or citation.anchor not in anchors(place)):
        return f"{citation.source} cites {citation.target}#{citation.anchor}, which is no heading"
    return None


def found() -> list[Citation]:
    names = [name for name in LISTED.stdout.split("\0") if name.endswith(SUFFIXES) or name == "Snakefile"]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names if (ROOT / name).is_file()}
    return [
        citation
        for name, text in texts.items()
        if ".md" in text or name.endswith(".md")
        for citation in citations(name, text)
    ]


FOUND = found()


def test_there_are_citations_of_every_kind() -> None:
    """The three books of the method, from code, tests and configuration; and links between pages."""
    cited = {(citation.target, Path(citation.source).suffix) for citation in FOUND if citation.anchor}
    assert {(f"docs/{page}.md", ".py") for page in ("method", "baselines", "design")} <= cited
    assert ("docs/baselines.md", ".yaml") in cited
    assert ("method.md", ".md") in cited
    assert len([citation for citation in FOUND if citation.source.endswith(".py")]) > 50


def test_every_citation_leads_somewhere() -> None:
    looked_at = [citation for citation in FOUND if citation.target not in WRITTEN_BY_RUNS]
    assert [why for citation in looked_at if (why := fault(citation))] == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "dima/x.py",
            '"""Eq. 9 (docs/method.md#returns)."""\npath = "final_returns.md"  # as README.md says\n',
            ["README.md", "docs/method.md"],
        ),
        ("x.smk", 'if name == "final_returns.md":  # see docs/design.md#cells\n', ["docs/design.md"]),
        (
            "x.yaml",
            "about: explained in docs/fidelity.md   # and in docs/method.md#noise-levels\n",
            ["docs/fidelity.md", "docs/method.md"],
        ),
        (
            "docs/x.md",
            "See [it](method.md#returns), ![](tasks.png), [that](https://x.org/y.md).\n```\n[no](no.md)\n```\n",
            ["method.md", "tasks.png"],
        ),
    ],
)
def test_the_search_finds_what_is_cited(name: str, text: str, expected: list[str]) -> None:
    assert sorted(citation.target for citation in citations(name, text)) == sorted(expected)


@pytest.mark.parametrize(
    ("target", "anchor", "right"),
    [
        ("docs/method.md", "replay-memory", True),
        ("docs/method.md", "Replay-memory", False),
        ("docs/method.md", "replay", False),
        ("docs/fidelity.md", "imagined-rollouts-figs-6-and-7", True),
        ("docs/methodology.md", "", False),
        ("docs/tasks.png", "tasks", False),
    ],
)
def test_a_wrong_file_or_anchor_is_a_fault(target: str, anchor: str, right: bool) -> None:
    assert (fault(Citation("dima/learning/dima_learner.py", target, anchor)) is None) == right


def test_a_link_is_relative_to_its_page() -> None:
    assert fault(Citation("docs/x.md", "docs/method.md", "")) is None
    assert (
        fault(Citation("docs/x.md", "docs/method.md", "", is_link=True))
        == "docs/x.md cites docs/method.md, which is not there"
    )
    assert fault(Citation("docs/x.md", "../README.md", "quick-start", is_link=True)) is None


def test_equal_headings_are_numbered(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The `dima` page\n## A, b & C\n## A, b & C\n```\n# no heading\n```\n## [Linked](x.md) words\n",
        encoding="utf-8",
    )
    assert anchors(page) == {"the-dima-page", "a-b--c", "a-b--c-1", "linked-words"}
