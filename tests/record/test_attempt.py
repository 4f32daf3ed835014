"""When an attempt is continued."""

from __future__ import annotations

import pytest

from dima.record.attempt import why_anew


@pytest.mark.parametrize(
    ("finished", "begun", "why"),
    [
        (None, None, None),
        (False, "asked", None),
        (True, "asked", "finished"),
        (False, "other", "configuration"),
        (True, "other", "configuration"),
        (None, "other", "configuration"),
        (None, "asked", "torn"),
        (False, None, "torn"),  # set aside but for the file that goes last
        (True, None, "finished"),
    ],
)
def test_an_attempt_is_continued_if_it_is_whole_unfinished_and_of_the_configuration(
    finished: bool | None, begun: str | None, why: str | None
) -> None:
    assert why_anew(finished, begun, "asked") == why
