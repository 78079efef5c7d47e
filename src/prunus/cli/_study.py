"""The commands that run many recipes from one table, and show what they found."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from prunus.cli._engine import LOCAL, Where
from prunus.cli._print import say, waiting
from prunus.cli._recipes import named_after
from prunus.errors import PrunusError

study = App(name="study", help="Run every row of a table of recipes, and show what they found.")


@study.command
def run(
    table: str,
    /,
    *overrides: str,
    rows: list[str] | None = None,
    out: Path | None = None,
    sheet: str | None = None,
    header: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    recipe: str | None = None,
    where: Where = LOCAL,
    quiet: bool = False,
) -> None:
    """Run the rows of a table; run it again to go on with those not finished.

    Args:
        table: a .yaml, .csv or .xlsx file, or a shipped name.
        overrides: settings put over those of every row: device=cuda
        rows: which rows: NAME, where * is anything, or COLUMN=VALUE,COLUMN=VALUE; may be given
            again, for rows that any of them means.
        out: the folder to write, runs/NAME or runs/NAME-SHEET where left out; each row has a folder
            in it.
        sheet: the worksheet of a workbook with several tables.
        header: the row of the table's titles, from 1, where that is not clear.
        recipe: what rows are put over, instead of what the table says.
        where: rows run.
        quiet: show no progress, print nothing but errors.
    """
    with waiting("reading the table", quiet):
        engine = where.chosen()
        from prunus.study import read_sheet

        read = read_sheet(table, overrides, sheet=sheet, header=header, recipe=recipe)
        from prunus.study._run import study as carry_out
    if not quiet:
        say(*(f"left out: {told}" for told in read.skipped))
        from prunus.table import slug
    name = named_after(table)
    folder = out or name.with_name(slug(name.name, sheet or ""))
    found = carry_out(read, folder, rows or (), quiet, engine)
    if not quiet:
        say(*(f"not run: {name}" for name in found.waiting))
        show(folder)
    if found.failed:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in found.failed.items())
        raise PrunusError(f"{len(found.failed)} of {len(read)} rows failed:\n{reasons}")


@study.command
def show(folder: Path, /) -> None:
    """Show the results of a study, finished or not.

    Args:
        folder: its --out.
    """
    from prunus.study._result import read_results
    from prunus.study._table import table

    results = read_results(folder)
    say(*([table(results)] if results else ["no row is finished"]))
    say(f"table: {folder / 'study.csv'}", f"page:  {folder / 'study.html'}")
