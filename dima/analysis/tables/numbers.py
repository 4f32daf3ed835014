"""How tables, pages and captions write numbers."""

from __future__ import annotations

from collections.abc import Iterable

NONE = "–"
"""What a table shows where it has no value."""
FLOATS = "%.9g"
"""Of tables for machines: equal on every machine, whatever the order of summation did to the last bits."""


def exact(value: object) -> str:
    """A value in a table for machines: empty for None, nine significant digits of a float."""
    return "" if value is None else FLOATS % value if isinstance(value, float) else str(value)


def joined(values: Iterable[object]) -> str:
    """Several values in one field of a table for machines."""
    return ";".join(map(exact, values))


def fixed(value: float | None, digits: int, sign: str = "") -> str:
    """The value with that many decimals; `sign` "+" shows it always, "z" never on a zero."""
    return NONE if value is None else f"{value:{sign}.{digits}f}"


def signed(value: float | None) -> str:
    """`+1.5`: a difference."""
    return fixed(value, 1, "+")


def plus_minus(mean: float, deviation: float | None, digits: int = 1) -> str:
    """`12.3 ± 0.4`; a dash where there is no deviation."""
    return f"{fixed(mean, digits)} ± {fixed(deviation, digits)}"


def with_interval(
    value: float | None, interval: tuple[float, float] | None, digits: int = 1, sign: str = ""
) -> str:
    """`32.5 [31.0, 34.0]`, or the value alone."""
    bounds = f" [{', '.join(fixed(bound, digits, sign) for bound in interval)}]" if interval else ""
    return NONE if value is None else f"{fixed(value, digits, sign)}{bounds}"


def percent(share: float | None) -> str:
    """`25%`."""
    return NONE if share is None else f"{share:.0%}"
