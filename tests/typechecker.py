"""The type checker that looks at every annotated call while the tests run."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

check = beartype(
    conf=BeartypeConf(is_pep484_tower=True)
)  # an int where a float is wanted, as everywhere in Python
