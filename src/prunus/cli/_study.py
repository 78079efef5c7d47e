"""The command that runs many recipes from one table: study."""

from pathlib import Path

from prunus.cli._print import say, waiting
from prunus.cli._recipes import named_after
from prunus.errors import PrunusError


def study(
    sheet: str,
    /,
    *overrides: str,
    out: Path | None = None,
    only: list[str] | None = None,
    quiet: bool = False,
) -> None:
    """Run every row of a table of recipes; run it again to go on with those not finished.

    Args:
        sheet: a YAML file with the keys recipe and rows, a CSV file, or a shipped name.
        overrides: settings put over those of every row: device=cuda
        out: the folder to write, runs/NAME where left out; each row has a folder in it.
        only: the name of a row to run; may be given again.
        quiet: show no progress, print nothing but errors.
    """
    with waiting("reading the sheet", quiet):
        from prunus.study import read_sheet

        rows = read_sheet(sheet, overrides)
        from prunus.study._run import study as carry_out
        from prunus.study._table import table
    folder = out or named_after(sheet)
    found = carry_out(rows, folder, only or (), quiet)
    if not quiet:
        say(*([table(found.results)] if found.results else []))
        say(*(f"not run: {name}" for name in found.waiting), f"table: {folder / 'study.md'}")
    if found.failed:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in found.failed.items())
        raise PrunusError(f"{len(found.failed)} of {len(rows)} rows failed:\n{reasons}")
