"""What users and readers see is short and in plain words: help texts, messages, tables, pages, comments."""

from __future__ import annotations

import argparse
import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from dima.analysis.tables.write import TABLES
from dima.campaign import cell_status
from dima.cli import parser as whole_parser

ROOT = Path(__file__).parents[1]
MOST_WORDS = 8
BANNED = re.compile(
    r"\b(anew|beside|heed\w*|lies|stands?|told|reckon\w*|last word|its own affair|each says|rests? on"
    r"|swallow\w*|what became|is a unit|find it finished|what it does not say|only those of"
    r"|likewise\.|for who watches"
    r"|whoever they are|without a word|say why|for who does not|mend(s|ed)?)\b",
    re.IGNORECASE,
)
EXCEPTIONS = {
    "dima/campaign/cell_plan.py": {"anew"},  # the name of a fate, as in the next two
    "dima/campaign/plan.py": {"anew"},
    "dima/campaign/plan_text.py": {"anew"},
    "benchmarks/reference/denoiser.py": {"anew"},
    "dima/baselines/harl_in_process.py": {"stand"},  # to stand in for
}


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


def help_texts() -> dict[str, str]:
    """By command and option; that of a command itself under its name."""
    texts: dict[str, str] = {}
    for parser in parsers(whole_parser()):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                choices = action._choices_actions
                texts |= {f"{parser.prog} {choice.dest}": choice.help or "" for choice in choices}
            elif not isinstance(action, argparse._HelpAction):
                texts[f"{parser.prog} {action.option_strings or action.dest}"] = action.help or ""
    return texts


HELP = help_texts()


def test_every_command_and_option_is_looked_at() -> None:
    assert len(HELP) > 50
    places = {"dima train", "dima render task", "dima train ['--wait']", "dima unpack ['--from']"}
    assert places <= HELP.keys()


def test_help_texts_are_short_commands() -> None:
    """Defaults and conditions in brackets do not count."""
    words = {place: re.sub(r"\(.*\)", "", text).split() for place, text in HELP.items()}
    assert {place: HELP[place] for place, said in words.items() if not 1 < len(said) <= MOST_WORDS} == {}
    assert {place: HELP[place] for place, said in words.items() if not said[0].islower()} == {}


def user_facing() -> dict[str, str]:
    """Help texts, tables, the report's templates and the captions of Snakemake's report."""
    texts = dict(HELP)
    texts |= {f"{parser.prog}, description": parser.description or "" for parser in parsers(whole_parser())}
    for name, table in TABLES.items():
        texts[f"{name}, explanation"] = table.explanation
        texts[f"{name}, columns"] = ", ".join((table.title, *table.columns))
    for path in (ROOT / "dima/analysis/report/templates").iterdir():
        texts[path.name] = re.sub(r"\{[{%#].*?[}%#]\}|<[^>]*>", " ", path.read_text(encoding="utf-8"))
    for path in (ROOT / "workflow/report").glob("*.rst"):
        texts[path.name] = path.read_text(encoding="utf-8")
    return texts | {"dima status, columns": ", ".join(cell_status.COLUMNS)}


def test_no_private_language() -> None:
    assert {place: found for place, text in user_facing().items() if (found := words_in(text))} == {}


def words_in(text: str) -> list[str]:
    return [match[0].lower() for match in BANNED.finditer(" ".join(text.split()))]


def strings(node: ast.AST) -> str:
    """All strings in a part of a program, also those between the values of an f-string."""
    constants = (part for part in ast.walk(node) if isinstance(part, ast.Constant))
    return " | ".join(part.value for part in constants if isinstance(part.value, str))


def whole_text(path: Path) -> str:
    """All strings and comments of a module."""
    with tokenize.open(path) as file:
        comments = [
            part.string for part in tokenize.generate_tokens(file.readline) if part.type == tokenize.COMMENT
        ]
    return " | ".join((strings(ast.parse(path.read_text(encoding="utf-8"))), *comments))


PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "results/README.md",
    "containers/README.md",
)
MODULES = [
    path for folder in ("dima", "envs", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_in_plain_words(path: Path) -> None:
    """Every string, docstring and comment."""
    known = EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), set())
    assert [word for word in words_in(whole_text(path)) if word not in known] == []


@pytest.mark.parametrize(
    "page", sorted({path for name in PAGES for path in ROOT.glob(name)}), ids=lambda path: path.name
)
def test_pages_are_in_plain_words(page: Path) -> None:
    assert words_in(page.read_text(encoding="utf-8")) == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert words_in(
        "Made anew, the last word stands beside what it was told; understand the outstanding"
    ) == [
        "anew",
        "last word",
        "stands",
        "beside",
        "told",
    ]
    raised = ast.parse("raise UserError(f'There is {name}, which rests on ' f'{other}, told elsewhere')")
    assert words_in(strings(raised)) == ["rests on", "told"]


def test_every_column_is_explained_or_known() -> None:
    """A column's name is in the explanation above the table, unless it is a word of the field."""
    known = {"task", "method", "suite", "horizon", "env steps", "remarks", "verdict", "steps to 90 %"}
    for name, table in TABLES.items():
        columns = {re.sub(r" \[95 %\]", "", column) for column in table.columns} - known
        explanation = table.explanation.replace("\n", " ")
        assert [column for column in columns if column not in explanation] == [], name
