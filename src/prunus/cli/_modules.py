"""What a library holds, as tables and lines."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from json import dumps
from math import prod
from typing import Any

from rich.table import Table
from rich.text import Text

from prunus.library import Entry, Library
from prunus.report import _units as show

SHORT = 12
"""Characters of a digest that are shown, and are enough to name it."""


def listed(library: Library) -> Iterator[Table | str]:
    """A table for each dense model, what is broken, and how much there is in all."""
    entries = list(library.entries())
    whole = sorted((one for one in entries if not one.fault), key=_order)
    for base, group in groupby(whole, _base):
        yield _table(base, list(group))
    broken = [one for one in entries if one.fault]
    yield from (f"broken: {one.path}: {one.fault}" for one in broken)
    size = show.scaled(sum(one.bytes for one in entries), "B")
    mend = ", `prunus library gc` removes what is broken" if broken else ""
    yield f"{len(whole)} module{'s' * (len(whole) != 1)}, {size} in {library.folder}{mend}"


def described(entry: Entry) -> Iterator[str]:
    """Everything that the header of an entry says.

    Yields:
        Lines; the key and the figures as JSON.
    """
    yield f"file:    {entry.path}"
    if entry.fault:
        yield f"broken:  {entry.fault}"
        return
    about = entry.about
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    shape = " x ".join(f"{size:,}" for size in about["shape"])
    units = f"{prod(about['shape']):,} units" + (f" ({shape})" if len(about["shape"]) > 1 else "")
    yield f"size:    {show.scaled(entry.bytes, 'B')}"
    yield f"used:    {_time(entry.used)}"
    yield f"made:    {about['made']} with {versions}"
    yield f"density: {about['density']:.4g} of {units}"
    yield f"key:     {dumps(about['key'], indent=1)}"
    yield f"figures: {dumps(about['figures'], indent=1)}"


def _table(base: str, entries: list[Entry]) -> Table:
    table = Table(title=Text(base), title_justify="left")
    for name in ("digest", "site", "kind"):
        table.add_column(name, no_wrap=name == "digest")
    for name in ("density", "error", "size", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in entries:
        key, figures = one.about["key"], one.about["figures"]
        table.add_row(
            one.digest[:SHORT], Text(key["site"]), key["kind"], f"{one.about['density']:.4g}",
            _errors(figures), show.scaled(one.bytes, "B"), _time(one.used),
        )  # fmt: skip
    table.caption = Text("error: of the module's output, pruned alone → tuned")
    return table


def _base(entry: Entry) -> str:
    """The dense model: the name that it went by, and its hash."""
    return f"{entry.about['figures'].get('model', 'dense model')} {_key(entry)['base'][:SHORT]}"


def _order(entry: Entry) -> tuple[str, str, float]:
    return _base(entry), _key(entry)["site"], entry.about["density"]


def _key(entry: Entry) -> Mapping[str, Any]:
    return entry.about["key"]


def _errors(figures: Mapping[str, Any]) -> str:
    before, after = (show.small(figures.get(name)) for name in ("pruned", "tuned"))
    return f"{before} → {after}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "minutes")
