"""A sheet: many runs as rows of one table, each a recipe with settings put over it."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from prunus.errors import PrunusError
from prunus.recipe import MAIN, Recipe, find, read
from prunus.recipe import _yaml as notation
from prunus.registry import Part, parse

NAME = re.compile(r"[\w.+-]*\w")
PUBLISHED = "published"


class Published(Part):
    """What others say that a row gives, in their units.

    Attributes:
        metric: whose values ``dense`` and ``pruned`` are; None is the task's headline.
        dense: of the dense model, from 0 to 1.
        pruned: of the pruned model.
        drop: the change in percent of the dense value, below 0 where it fell.
        ratio: the fraction removed, as neural-compressor counts it.
    """

    metric: str | None = None
    dense: float | None = None
    pruned: float | None = None
    drop: float | None = None
    ratio: float | None = None


class Rows(Part):
    """A sheet as it is written.

    Attributes:
        recipe: what rows are put over: a file or folder beside the sheet, or a shipped name.
        rows: each with a ``name``, settings by dotted keys, and what is ``published``; a row with a
            ``recipe`` is put over that one.
    """

    recipe: str = MAIN
    rows: tuple[dict[str, Any], ...] = Field(min_length=1)


@dataclass(frozen=True)
class Row:
    """One run of a sheet."""

    name: str
    recipe: Recipe
    published: Published


def read_sheet(source: str | Path, overrides: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows of a sheet, each read as :func:`prunus.recipe.read` reads a recipe.

    Args:
        source: a YAML file ``{recipe: ..., rows: [...]}``, a CSV file whose columns are the keys of
            rows, or the name of a shipped sheet.
        overrides: settings put over those of every row.

    Raises:
        PrunusError: no such sheet, or every fault in all of its rows.
    """
    path = find(source)
    sheet = parse(Rows, str(path), _said(path))
    rows, told = list[Row](), list[str]()
    for place, (settings, name) in enumerate(zip(sheet.rows, _names(sheet, path), strict=True)):
        try:
            rows.append(_row(path, {"recipe": sheet.recipe, **settings}, name, overrides))
        except PrunusError as error:
            told.append(f"{path}: row {place + 1}, {name}: {error}")
    if told:
        raise PrunusError("\n".join(told))
    return tuple(rows)


def _names(sheet: Rows, path: Path) -> list[str]:
    names = [str(row.get("name", "")) for row in sheet.rows]
    for place, name in enumerate(names):
        if not NAME.fullmatch(name):
            raise PrunusError(
                f"{path}: row {place + 1} is called {name!r}: every row needs a name that can be a"
                " folder's, of letters, digits and . + - _"
            )
        if name in names[:place]:
            raise PrunusError(f"{path}: two rows are called {name!r}: their runs would be one")
    return names


def _row(path: Path, settings: Mapping[str, Any], name: str, overrides: Sequence[str]) -> Row:
    beside = path.parent / str(settings["recipe"])
    source = beside if beside.exists() else str(settings["recipe"])
    changes = [
        f"{key}={notation.line(value)}"
        for key, value in settings.items()
        if key not in ("name", "recipe") and key.partition(".")[0] != PUBLISHED
    ]
    recipe = read(source, [*changes, *overrides])
    if recipe.out is not None:
        raise PrunusError("out: every row has a folder of its name; leave it out")
    return Row(name, recipe, _published(settings))


def _published(settings: Mapping[str, Any]) -> Published:
    """From a mapping, and from keys such as ``published.ratio``."""
    found = settings.get(PUBLISHED, {})
    if not isinstance(found, Mapping):
        raise PrunusError(f"{PUBLISHED}: expected a mapping like {{ratio: .9}}, got {found!r}")
    dotted = {key: key.removeprefix(f"{PUBLISHED}.") for key in settings}
    others = {short: settings[key] for key, short in dotted.items() if short != key}
    return parse(Published, PUBLISHED, {**found, **others})


def _said(path: Path) -> dict[str, Any]:
    """A sheet as a mapping, from YAML or CSV."""
    try:
        text = path.read_text(encoding="utf-8")
        said = {"rows": list(_table(text))} if path.suffix == ".csv" else notation.load(text)
    except (yaml.YAMLError, UnicodeDecodeError, csv.Error) as error:
        raise PrunusError(f"{path} cannot be read: {error}") from None
    if not isinstance(said, dict) or "rows" not in said:
        raise PrunusError(f"{path} is no sheet: it needs the key `rows`, a list of settings")
    return said


def _table(text: str) -> Iterator[dict[str, Any]]:
    """The rows of a CSV table; cells are YAML, empty ones say nothing."""
    for row in csv.DictReader(text.splitlines(), strict=True):
        if None in row or None in row.values():
            raise csv.Error(f"the row {list(row.values())} has not as many cells as the header")
        yield {key: notation.load(cell) for key, cell in row.items() if cell}
