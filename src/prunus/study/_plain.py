"""Tables in the words of recipes: columns are their keys."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from prunus import notation
from prunus.errors import PrunusError, unknown
from prunus.recipe import Recipe
from prunus.study._row import Published
from prunus.table import Cell, Entry, Line, Table, slug

NAME, RECIPE, PUBLISHED = "name", "recipe", "published"
THEIRS = tuple(f"{PUBLISHED}.{key}" for key in Published.model_fields)
KEYS = (NAME, RECIPE, *THEIRS)


@dataclass(frozen=True)
class Plain:
    """A table whose titles are dotted keys of recipes, ``name``, ``recipe`` and ``published.*``.

    Attributes:
        columns: the keys of titles that are none themselves; None for those that say nothing.
        required: titles or keys without which a row is unfinished.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    required: Sequence[str] = ()

    def recognises(self, titles: Sequence[str]) -> bool:
        """Whether there is a column ``name``, or most are keys."""
        known = sum(title in self.columns or _known(title) for title in titles)
        return NAME in map(self._key, titles) or (len(titles) > 1 and 2 * known > len(titles))

    def entries(self, table: Table) -> list[Entry]:
        """What the rows say; rows are called by what differs between them if they have no name.

        Raises:
            PrunusError: every title that is no key, is a key twice, or is expected and not there.
        """
        keys = self._keys(table)
        found = [self._entry(line, keys) for line in table.lines]
        if NAME in keys.values():
            return found
        return [replace(one, name=name) for one, name in _called(found)]

    def _key(self, title: str) -> str | None:
        return self.columns.get(title, title)

    def _keys(self, table: Table) -> dict[str, str]:
        """Of every title that says something, its key."""
        keys = {title: key for title in table.titles if (key := self._key(title)) is not None}
        told = [
            f"{table.titles[title].where}: {fault}" for title, fault in _faults(keys, table.titles)
        ]
        for title in (*self.columns, *self.required):
            if title not in table.titles and title not in keys.values():
                told.append(f"{table.where}: {unknown('column', title, table.titles)}")
        if told:
            raise PrunusError("\n".join(told))
        return keys

    def _entry(self, line: Line, keys: Mapping[str, str]) -> Entry:
        said = {keys[title]: _said(cell) for title, cell in line.said.items() if title in keys}
        name = line.cells.get(_titled(keys, NAME), Cell(None, line.where))
        if said.keys() == {NAME}:
            name = name.bad(f"the row {name.held!r} says nothing but its name")
        return Entry(
            where=line.where,
            name=name,
            settings={key: cell for key, cell in said.items() if key not in KEYS},
            recipe=said.get(RECIPE),
            published={key.partition(".")[2]: cell for key, cell in said.items() if key in THEIRS},
            columns={
                title: cell.held for title, cell in line.said.items() if keys.get(title) != NAME
            },
            lacks=self._lacks({*line.said, *said}),
        )

    def _lacks(self, said: Collection[str]) -> str:
        lacking = [title for title in self.required if title not in said]
        return f"it lacks {', '.join(lacking)}" if lacking else ""


def _known(key: str) -> bool:
    return key in KEYS or key.partition(".")[0] in Recipe.model_fields


def _faults(keys: Mapping[str, str], titles: Mapping[str, Cell]) -> Iterator[tuple[str, str]]:
    """(title, what is wrong with it)."""
    seen = set[str]()
    for title, key in keys.items():
        if key in seen or _again(title, titles):
            yield title, f"the column {titles[title].held!r} stands twice"
        elif not _known(key):
            hint = "A sheet in YAML can give it a key, or null (`columns`)."
            yield title, str(unknown("column", key, [*KEYS, *Recipe.model_fields], hint))
        seen.add(key)


def _again(title: str, titles: Mapping[str, Cell]) -> bool:
    """Whether a title stands further left as well."""
    return " ".join(str(titles[title].held).split()) != title


def _titled(keys: Mapping[str, str], key: str) -> str:
    return next((title for title, own in keys.items() if own == key), key)


def _said(cell: Cell) -> Cell:
    """Text is YAML."""
    if not isinstance(cell.held, str):
        return cell
    try:
        return cell.of(notation.load(cell.held))
    except yaml.YAMLError as error:
        return cell.bad(f"{cell.held!r} is no YAML: {error}")


def _called(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Cell]]:
    """Each with a name of the settings that differ between them."""
    said = [{key: cell.held for key, cell in entry.settings.items()} for entry in entries]
    keys = differing(said)
    for entry, own in zip(entries, said, strict=True):
        words = (f"{key.rpartition('.')[2]} {own[key]}" for key in keys if key in own)
        yield entry, Cell(slug(*words), entry.where)


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The titles whose values are not the same in all rows."""
    titles = dict.fromkeys(title for row in rows for title in row)
    return [title for title in titles if len({str(row.get(title)) for row in rows}) > 1]
