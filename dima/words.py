"""Amounts in words."""

from __future__ import annotations


def byte_size(size: float) -> str:
    """`999 B`, `1.5 kB`, `20.0 GB`: powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def duration(seconds: float) -> str:
    """`2.34 h`, or shorter times in minutes."""
    return f"{seconds / 3600:,.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def hours(seconds: float) -> str:
    """The number of hours: `12.3`, `0.12`, `0.012`."""
    number = seconds / 3600
    return f"{number:,.1f}" if number >= 10 else f"{number:.2f}" if number >= 0.1 else f"{number:.3f}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
