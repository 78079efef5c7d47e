"""The headline table for the terminal."""

from rich.table import Table
from rich.text import Text

from prunus.report._rows import Row, removed, rows
from prunus.report._schema import Report


def table(report: Report) -> Table:
    """Dense against pruned: quality, sizes, latency; print it with a rich console."""
    made = Table(title=Text(report.model), caption=Text(removed(report)), title_justify="left")
    made.add_column("")
    for name in ("dense", "pruned", "change"):
        made.add_column(name, justify="right")
    for row in rows(report):
        made.add_row(_label(row), Text(row.dense), Text(row.pruned), _change(row))
    return made


def _label(row: Row) -> Text:
    return Text.assemble(row.label, (f"  {row.note}" if row.note else "", "dim"))


def _change(row: Row) -> Text:
    return Text.assemble(row.change, (f"\n{row.remark}" if row.remark else "", "dim"))
