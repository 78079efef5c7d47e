"""One run of a sheet, and where in the sheet its faults are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import exists
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from prunus import notation
from prunus.errors import PrunusError
from prunus.recipe import Recipe, read
from prunus.recipe._fault import SettingsError
from prunus.registry import Part, faults
from prunus.table import Cell, Entry


class Published(Part):
    """What others say that a row gives, in their units.

    Attributes:
        metric: whose values ``dense`` and ``pruned`` are; None is the task's headline.
        dense: of the dense model, from 0 to 1.
        pruned: of the pruned model.
        drop: the change in percent of the dense value, below 0 where it fell.
        ratio: the fraction removed, as neural-compressor counts it.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    metric: str | None = None
    dense: float | None = None
    pruned: float | None = None
    drop: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Row:
    """One run of a sheet.

    Attributes:
        name: what it is called, unique in the sheet, and its folder.
        recipe: what to do.
        published: what others say that it gives.
        columns: what the sheet says of it, by title.
        where: its address.
    """

    name: str
    recipe: Recipe
    published: Published
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)
    where: str = field(default="", compare=False)


def row_of(entry: Entry, recipe: str, beside: Path, overrides: Sequence[str]) -> Row:
    """The run that a row says.

    Args:
        entry: the row.
        recipe: what its settings are put over where it names nothing else.
        beside: a folder in which recipes are looked for first.
        overrides: settings put over the row's.

    Raises:
        PrunusError: every fault in it, by cell.
    """
    named = str(entry.recipe.value) if entry.recipe else recipe
    source = beside / named if exists(beside / named) else named
    told = list[str]()
    changes = list(_changes(entry.settings, told))
    published = _published(entry.published, told)
    found = None
    try:
        found = read(source, [*changes, *overrides])
    except SettingsError as error:
        told += [_address(entry, *fault) for fault in error.faults]
    except PrunusError as error:
        place = entry.recipe.where if entry.recipe else entry.where
        told.append(f"{place}: {error}")
    if found is not None and found.out is not None:
        told.append(f"{entry.where}: out: every row has a folder of its name; leave it out")
    if told or found is None:
        raise PrunusError("\n".join(told))
    return Row(str(entry.name.value), found, published, entry.columns, entry.where)


def _changes(settings: Mapping[str, Cell], told: list[str]) -> Iterator[str]:
    """``key=value`` of what can be read."""
    for key, cell in settings.items():
        try:
            yield f"{key}={notation.line(cell.value)}"
        except PrunusError as error:
            told.append(str(error))


def _published(cells: Mapping[str, Cell], told: list[str]) -> Published:
    try:
        return Published.model_validate({key: cell.value for key, cell in cells.items()})
    except ValidationError as error:
        for path, message in faults(Published, error):
            key = next((key for key in cells if path.startswith(key)), next(iter(cells)))
            told.append(f"{cells[key].where}: {message}")
    except PrunusError as error:
        told.append(str(error))
    return Published()


def _address(entry: Entry, path: str, message: str) -> str:
    """A fault at the cell that has it: of the settings above it, the nearest one's."""
    steps = path.split(".")
    above = (".".join(steps[:place]) for place in range(len(steps), 0, -1))
    key = next((key for key in above if key in entry.settings), None)
    where = entry.where if key is None else entry.settings[key].where
    return f"{where}: {message}" if where.endswith(path) else f"{where}: {path}: {message}"
