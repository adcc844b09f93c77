"""Covering arrays: few rows in which every pair (or triple) of values meets, and a check that none is missing."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import covertable  # type: ignore[import-untyped]  # it ships no types

Row = dict[str, Any]
Factors = Mapping[str, Sequence[Any]]
# Whether values may stand together; it is asked of parts of a row, too.
Accepts = Callable[[Row], bool]


def anything(_: Row) -> bool:
    return True


def cover(
    factors: Factors, strength: int, accepts: Accepts = anything, first: Sequence[Row] = (), salt: str = ""
) -> list[Row]:
    """Rows that are accepted, in which every combination of `strength` values occurs that can; `first` come first. The
    same factors always give the same rows, and another `salt` other ones, maybe fewer.
    """
    strength = min(strength, len(factors))
    if strength == 0:
        return [{}]
    numbers = {name: list(range(len(values))) for name, values in factors.items()}
    presets = [{name: list(factors[name]).index(row[name]) for name in factors} for row in first]
    refused = sorted((dict(pair) for pair in tuples(factors, 2) if not accepts(dict(pair))), key=str)
    while True:
        constraints = [_never(some, factors) for some in refused]
        made = covertable.make(numbers, strength=strength, presets=presets, constraints=constraints, salt=salt)
        rows = [{name: factors[name][row[name]] for name in factors} for row in made]
        # What more than two values make impossible is learnt from the rows that have it.
        learnt = [_core(row, accepts) for row in rows if not accepts(row)]
        if not learnt:
            return rows
        refused += [some for number, some in enumerate(learnt) if some not in learnt[:number]]


def _never(some: Row, factors: Factors) -> dict[str, Any]:
    values = [
        {"operator": "eq", "left": name, "value": list(factors[name]).index(value)} for name, value in some.items()
    ]
    return {"operator": "not", "condition": {"operator": "and", "conditions": values}}


def _core(row: Row, accepts: Accepts) -> Row:
    """The part of a refused row that is enough for that."""
    for name in row:
        less = {other: value for other, value in row.items() if other != name}
        if not accepts(less):
            row = less
    return row


def tuples(factors: Factors, strength: int, accepts: Accepts = anything) -> set[tuple[tuple[str, Any], ...]]:
    """Every combination of `strength` values that rows have to contain."""
    combined = (
        tuple(zip(names, values, strict=True))
        for names in combinations(factors, min(strength, len(factors)))
        for values in product(*(factors[name] for name in names))
    )
    return {some for some in combined if accepts(dict(some))}


def missing(
    factors: Factors, rows: Sequence[Row], strength: int, accepts: Accepts = anything
) -> set[tuple[tuple[str, Any], ...]]:
    """What the rows leave out: counted anew, without the library that made them."""
    seen = {
        tuple((name, row[name]) for name in names)
        for row in rows
        for names in combinations(factors, min(strength, len(factors)))
    }
    return tuples(factors, strength, accepts) - seen


def rotate(rows: Sequence[Row], others: Factors, accepts: Accepts = anything) -> list[Row]:
    """Give the rows the values of other factors in turn, with more rows if a factor has more values than there are.

    A value that a row does not accept waits for the next row that does; one that a row has already stays.
    """
    count = max([len(rows), *(len(values) for values in others.values())])
    waiting = {name: list(values) for name, values in others.items()}
    rotated = []
    for index in range(count):
        row = dict(rows[index % len(rows)])
        # The last one first: it may need some value of those before it, never the other way round.
        for name, values in reversed(waiting.items()):
            value = row[name] if name in row else next(value for value in values if accepts(row | {name: value}))
            values.remove(value)
            values.append(value)
            row[name] = value
        rotated.append(row)
    return rotated
