"""What a user reads on a terminal or below a table: short, and without words that only this project's authors
would understand."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from dima.analysis.tables import prediction, returns, sample_efficiency, suite_summary
from dima.campaign import cell_status
from dima.cli import parser as whole_parser

MOST_WORDS = 8
BANNED = re.compile(
    r"\b(anew|beside|heed\w*|lies|stands?|told|reckon\w*|last word|its own affair|each says|rests on|swallow\w*|what became"
    r"|is a unit|find it finished|what it does not say|only those of)\b",
    re.IGNORECASE,
)
TABLES = (returns, sample_efficiency, suite_summary, prediction)


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
                texts |= {
                    f"{parser.prog} {choice.dest}": choice.help or "" for choice in action._choices_actions
                }
            elif not isinstance(action, argparse._HelpAction):
                texts[f"{parser.prog} {action.option_strings or action.dest}"] = action.help or ""
    return texts


HELP = help_texts()


def test_every_command_and_option_is_looked_at() -> None:
    assert len(HELP) > 50
    assert {
        "dima train",
        "dima render task",
        "dima train ['--wait']",
        "dima unpack ['--from']",
    } <= HELP.keys()


def test_help_texts_are_short_commands() -> None:
    """Defaults and conditions in brackets do not count."""
    words = {place: re.sub(r"\(.*\)", "", text).split() for place, text in HELP.items()}
    assert {place: HELP[place] for place, said in words.items() if not 1 < len(said) <= MOST_WORDS} == {}
    assert {place: HELP[place] for place, said in words.items() if not said[0].islower()} == {}


def user_facing() -> dict[str, str]:
    texts = dict(HELP)
    texts |= {f"{parser.prog}, description": parser.description or "" for parser in parsers(whole_parser())}
    for table in TABLES:
        texts[f"{table.__name__}, explanation"] = table._EXPLANATION
        texts[f"{table.__name__}, columns"] = ", ".join(table._HEADING)
    return texts | {"dima status, columns": ", ".join(cell_status.COLUMNS)}


def test_no_private_language() -> None:
    assert {place: found for place, text in user_facing().items() if (found := BANNED.findall(text))} == {}


def test_the_search_finds_what_it_looks_for() -> None:
    found = BANNED.findall(
        "Made anew, the last word stands beside what it was told; understand the outstanding"
    )
    assert found == ["anew", "last word", "stands", "beside", "told"]


def test_every_column_is_explained_or_known() -> None:
    """A column's name is in the explanation above the table, but for the words of the field."""
    known = {"task", "method", "suite", "horizon", "env steps", "remarks", "verdict"}
    for table in TABLES:
        columns = {re.sub(r" \[95 %\]", "", column) for column in table._HEADING} - known
        unexplained = [column for column in columns if column not in table._EXPLANATION.replace("\n", " ")]
        assert [column for column in unexplained if column != "steps to 90 %"] == [], table.__name__
