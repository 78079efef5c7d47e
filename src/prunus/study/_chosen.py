"""Choosing rows of a sheet by name, or by what stands in their columns."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from prunus.errors import unknown
from prunus.study._row import Row


def chosen(rows: Sequence[Row], selectors: Sequence[str]) -> list[Row]:
    """The rows that any of the selectors means, in the sheet's order; all of them without one.

    Args:
        rows: of a sheet.
        selectors: names, with ``*`` and ``?`` for what may be anything; or ``COLUMN=VALUE``,
            several with commas between, all of which shall hold. A number means those that are
            equal; if there are none, those that are when rounded to its decimals.

    Raises:
        PrunusError: a selector means no row; the nearest names are told.
    """
    if not selectors:
        return list(rows)
    names = {row.name for selector in selectors for row in _of(rows, selector)}
    return [row for row in rows if row.name in names]


def _of(rows: Sequence[Row], selector: str) -> list[Row]:
    if "=" not in selector:
        found = [row for row in rows if fnmatchcase(row.name, selector)]
        if not found:
            raise unknown("row", selector, [row.name for row in rows])
        return found
    found = list(rows)
    pairs = [pair.partition("=") for pair in selector.split(",")]
    # a number may mean a rounded one, if none of the rows that the others leave is equal to it
    for title, _, value in sorted(pairs, key=lambda pair: _number(pair[2]) is not None):
        found = _with(found, title.strip(), value.strip(), selector)
    return found


def _with(rows: Sequence[Row], title: str, value: str, selector: str) -> list[Row]:
    """Those of ``rows`` that have a value in a column."""
    held = {row.name: row.columns[title] for row in rows if title in row.columns}
    if not held:
        raise unknown("column", title, {own for row in rows for own in row.columns})
    equal = {name for name, own in held.items() if _equal(own, value)}
    names = equal or {name for name, own in held.items() if _rounded(own, value)}
    if not names:
        raise unknown(title, value, set(map(str, held.values())), f"(in {selector!r})")
    return [row for row in rows if row.name in names]


def _equal(held: Any, value: str) -> bool:
    number = _number(value)
    return (
        value == str(held)
        or fnmatchcase(str(held), value)
        or (number is not None and number == _number(held))
    )


def _rounded(held: Any, value: str) -> bool:
    own, asked = _number(held), _number(value)
    if own is None or asked is None or "e" in value.lower():
        return False
    return round(own, len(value.partition(".")[2])) == asked


def _number(value: Any) -> float | None:
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
