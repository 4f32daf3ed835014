"""Event logs stored by columns come back byte for byte, and nothing else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dima.record.columns import from_columns, to_columns

LINE = st.one_of(
    st.lists(st.one_of(st.integers(), st.floats(allow_nan=False), st.none()), min_size=1, max_size=4).map(
        lambda row: json.dumps(row)
    ),
    st.just('{"seq":3,"kind":"columns","groups":{"a":["x"]}}'),
    st.text(alphabet='[]{},:"0123456789 a', max_size=8),
).map(str.encode)


@given(st.lists(LINE, max_size=12).map(b"\n".join))
@example(b"")
@example(b"[1,2,3]\n[4,5,6]\n")
@example(b"[1, 2]\n[]\n[[1],2]\n[1,2,3")
def test_a_log_comes_back_byte_for_byte(log: bytes) -> None:
    stored = to_columns(log)
    if stored is None:
        assert any(line[1:].isdigit() for line in log.split(b"\n") if line[:1] == b"[")
    else:
        assert from_columns(stored) == log


def test_rows_stand_by_columns() -> None:
    log = b'{"seq":0}\n[0,10,1.5]\n{"seq":2}\n[0,20,2.5]\n[1,30]\n'
    assert (
        to_columns(log) == b'[[2, 1], [3, 2]]\n{"seq":0}\n[3\n{"seq":2}\n[3\n[2\n\n1\n30\n0,0\n10,20\n1.5,2.5'
    )


def test_a_torn_row_that_looks_like_the_place_of_one_is_not_stored_by_columns() -> None:
    assert to_columns(b"[1,2]\n[12") is None


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"no json\n",
        b"{}\n",
        b"[[2]]\n[2\n1\n2",
        b"[[2, 0]]\n[2\n1\n2",
        b"[[2, true]]\n[2\n1\n2",
        b"[[2, 1]]\n[2\n1",
        b"[[2, 1]]\n[2\n1,1\n2",
        b"[[2, 2]]\n[2\n1\n2",
        b"[[2, 1]]\n[2\n[2\n1\n2",
        b"[[2, 1]]\n[3\n1\n2",
        b"[[2, 2]]\n[2\n1,1\n2,2",
        b"[[1000000000, 1]]\n[2\n1",
    ],
)
def test_anything_else_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_columns(stored)
