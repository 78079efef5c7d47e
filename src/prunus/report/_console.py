"""The tables for the terminal."""

from rich.table import Table
from rich.text import Text

from prunus.report import _exports, _modules, _trainings, _zeros
from prunus.report import _frontier as search
from prunus.report._compared import COLUMNS, lines, timed
from prunus.report._library import Library
from prunus.report._rows import Row, removed, rows
from prunus.report._schema import Report
from prunus.report._zeroed import Zeros


def tables(report: Report) -> list[Table]:
    """Every table that the report fills."""
    others = (frontier, training, library, zeros, comparison, exports)
    return [table(report), *filter(None, (made(report) for made in others))]


def table(report: Report) -> Table:
    """Dense against pruned: quality, sizes, latency; print it with a rich console."""
    made = Table(title=Text(report.model), caption=Text(removed(report)), title_justify="left")
    made.add_column("")
    for name in ("dense", "pruned", "change"):
        made.add_column(name, justify="right")
    for row in rows(report):
        made.add_row(_label(row), Text(row.dense), Text(row.pruned), _change(row))
    return made


def comparison(report: Report) -> Table | None:
    """The pruned model beside its baselines; None where none was asked for."""
    found = lines(report)
    if not found:
        return None
    made = Table(
        title="What else could have been done",
        caption=f"speed: {timed(report)}",
        title_justify="left",
    )
    for name in ("", *COLUMNS):
        made.add_column(name, justify="right" if name else "left")
    for line in found:
        name = Text.assemble((line.name, "bold" if line.strong else ""), (f"  {line.made}", "dim"))
        made.add_row(name, *map(Text, line.cells))
    return made


def exports(report: Report) -> Table | None:
    """A row for each export; None where none was asked for."""
    if not report.exports:
        return None
    made = Table(title="Exports", title_justify="left", caption=Text(_exports.told(report)))
    for name in ("", *_exports.COLUMNS):
        made.add_column(name, justify="right" if name else "left")
    for name, cells in _exports.rows(report):
        made.add_row(*map(Text, (name, *cells)))
    return made


def frontier(report: Report) -> Table | None:
    """The densities that a search tried; None where there was no search."""
    if report.frontier is None:
        return None
    made = Table(title="How far it can go", title_justify="left")
    made.caption = Text(f"{search.told(report.frontier)}\n{search.held(report.frontier)}")
    made.add_column("density")
    for name in search.COLUMNS:
        made.add_column(name, justify="right" if name else "left")
    for row in search.tried(report):
        style = "bold" if row.chosen else "" if row.met else "dim"
        made.add_row(row.density, *map(Text, row.cells), style=style)
    return made


def training(report: Report) -> Table | None:
    """A row for each training that was looked at; None where there was none."""
    if not report.histories:
        return None
    made = Table(title="Training", title_justify="left")
    for name in ("", *_trainings.COLUMNS):
        made.add_column(name, justify="right" if name else "left")
    for name, cells in _trainings.rows(report.histories):
        made.add_row(*map(Text, (name, *cells)))
    return made


def library(report: Report) -> Table | None:
    """A row for each kind of module; None where the model was not composed."""
    found = report.library
    if found is None:
        return None
    made = Table(title="Library", title_justify="left")
    made.caption = Text("\n".join((_modules.told(found), *found.notes)))
    for name in ("", *_modules.SUMMARY):
        made.add_column(name, justify="right" if name else "left")
    for kind, cells in _modules.kinds(found):
        made.add_row(*map(Text, (kind, *cells)))
    return made


def modules(found: Library) -> Table:
    """A row for each module of a library that is to be tuned, or was."""
    made = Table(title=Text(found.folder), title_justify="left")
    made.caption = Text("\n".join((_modules.stocked(found), *found.notes)))
    made.add_column("")
    for name in _modules.COLUMNS:
        made.add_column(name, justify="right")
    for site, cells, _ in _modules.rows(found):
        made.add_row(*map(Text, (site, *cells[:-1], cells[-1] or "tuned")))
    return made


def zeros(report: Report) -> Table | None:
    """The layers whose weights are zero in part; None where there are none."""
    found = report.zeros
    if found is None:
        return None
    made = zeroed(found)
    made.caption = Text(f"{_zeros.told(found)}\n{_zeros.work(report.flops, found.work)}.")
    return made


def zeroed(found: Zeros) -> Table:
    """A row for each layer whose weights are zero in part."""
    made = Table(title="Weights that are zero", title_justify="left")
    for name in ("", *_zeros.COLUMNS):
        made.add_column(name, justify="right" if name else "left")
    for name, cells in _zeros.rows(found):
        made.add_row(*map(Text, (name, *cells)))
    return made


def _label(row: Row) -> Text:
    return Text.assemble(row.label, (f"  {row.note}" if row.note else "", "dim"))


def _change(row: Row) -> Text:
    return Text.assemble(row.change, (f"\n{row.remark}" if row.remark else "", "dim"))
