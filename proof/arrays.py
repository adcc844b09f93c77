"""Covering arrays: few rows in which every pair (or triple) of values meets, and a check that none is missing."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import covertable  # type: ignore[import-untyped]  # it ships no types

Row = dict[str, Any]
Factors = Mapping[str, Sequence[Any]]


def cover(factors: Factors, strength: int) -> list[Row]:
    """Rows in which every combination of `strength` values occurs. The same factors always give the same rows."""
    strength = min(strength, len(factors))
    if strength == 0:
        return [{}]
    rows = covertable.make({name: list(range(len(values))) for name, values in factors.items()}, strength=strength)
    return [{name: factors[name][row[name]] for name in factors} for row in rows]


def tuples(factors: Factors, strength: int) -> set[tuple[tuple[str, Any], ...]]:
    """Every combination of `strength` values that rows have to contain."""
    return {
        tuple(zip(names, values, strict=True))
        for names in combinations(factors, min(strength, len(factors)))
        for values in product(*(factors[name] for name in names))
    }


def missing(factors: Factors, rows: Sequence[Row], strength: int) -> set[tuple[tuple[str, Any], ...]]:
    """What the rows leave out: counted anew, without the library that made them."""
    seen = {
        tuple((name, row[name]) for name in names)
        for row in rows
        for names in combinations(factors, min(strength, len(factors)))
    }
    return tuples(factors, strength) - seen


def rotate(rows: Sequence[Row], others: Factors) -> list[Row]:
    """Give the rows the values of other factors in turn, with more rows if a factor has more values than there are."""
    count = max([len(rows), *(len(values) for values in others.values())])
    return [
        rows[index % len(rows)] | {name: values[index % len(values)] for name, values in others.items()}
        for index in range(count)
    ]
