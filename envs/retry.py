"""Retries of what can fail for a moment: reading a file, a socket, a library's loader."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

PAUSES = (0.1, 1.0, 5.0)
"""Seconds before the second, third and fourth try."""
Result = TypeVar("Result")


def tried_again(call: Callable[[], Result], passes: Callable[[Exception], bool]) -> Result:
    """What `call` returns, retried after each of `PAUSES` while `passes` says that its error may pass.

    Every retry is announced on the standard error.

    Raises:
        Exception: of the last call, or the first that will not pass.
    """
    for pause in PAUSES:
        try:
            return call()
        except Exception as error:
            if not passes(error):
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"{reason.removesuffix('.')}; trying again in {pause:g} s.", file=sys.stderr, flush=True)
        time.sleep(pause)
    return call()
