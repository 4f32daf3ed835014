"""Whether a cell that is to run continues the attempt in its folder, or sets it aside and begins anew."""

from __future__ import annotations

from typing import Literal

WhyAnew = Literal["configuration", "finished", "torn"]


def why_anew(finished: bool | None, begun: str | None, digest: str) -> WhyAnew | None:
    """Why what lies in the cell's folder cannot be continued; None where it can, or where nothing lies there.

    Args:
        finished: what `provenance.json` says; None without one.
        begun: the digest in `config.json`; None without one. Setting an attempt aside moves `provenance.json` last: a kill leaves it alone.
        digest: of the configuration that is asked for.
    """
    if finished is None and begun is None:
        return None
    if begun is not None and begun != digest:
        return "configuration"
    if finished:
        return "finished"
    return "torn" if finished is None or begun is None else None
