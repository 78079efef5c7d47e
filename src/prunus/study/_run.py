"""Carries a study out: row by row, each into a folder of its own, finished ones once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prunus.errors import PrunusError, unknown
from prunus.recipe._log import logged
from prunus.recipe._parts import parts, resolved
from prunus.recipe.run import run
from prunus.study._result import REPORT, Result, result
from prunus.study._row import Row
from prunus.study._table import write


@dataclass(frozen=True)
class Study:
    """What became of a sheet.

    Attributes:
        results: of the rows that are finished, now or earlier, in the sheet's order.
        failed: by name, why a row is not.
        waiting: rows whose turn has not come.
    """

    results: tuple[Result, ...]
    failed: dict[str, str]
    waiting: tuple[str, ...]


def study(
    rows: Sequence[Row], out: str | Path, only: Collection[str] = (), quiet: bool = False
) -> Study:
    """Run the rows of a sheet that are not finished, and write ``study.json`` and ``study.md``.

    A row whose folder holds the report of the same recipe is finished. One that fails does not keep
    the others from running; why it failed is told in the end and, in full, in ``study.log``.

    Args:
        rows: see :func:`prunus.study.read_sheet`.
        out: the folder of the rows' folders.
        only: names of rows; none is all of them.
        quiet: show no progress.

    Raises:
        PrunusError: no row has such a name, parts of a row do not fit each other, or a row's folder
            holds the run of another recipe.
    """
    out, names = Path(out), [row.name for row in rows]
    for name in only:
        if name not in names:
            raise unknown("row", name, names)
    finished = _finished(rows, out)
    turn = [row for row in rows if not only or row.name in only]
    failed: dict[str, str] = {}
    out.mkdir(parents=True, exist_ok=True)
    with logged(out / "study.log") as log:
        for row in turn:
            try:
                if row.name not in finished:
                    log.info("%s", row.name)
                    run(row.recipe, out / row.name, quiet)
                result(row, out / row.name)
            except Exception as error:  # whatever one row raises, the others shall run
                log.exception("%s failed", row.name)
                own = isinstance(error, PrunusError)
                failed[row.name] = str(error) if own else f"{type(error).__name__}: {error}"
    found = [r for r in rows if r.name not in failed and (out / r.name / REPORT).is_file()]
    results = tuple(result(row, out / row.name) for row in found)
    write(results, out)
    done = {*failed, *(row.name for row in found)}
    return Study(results, failed, tuple(name for name in names if name not in done))


def _finished(rows: Sequence[Row], out: Path) -> set[str]:
    """The rows that need not run again.

    Raises:
        PrunusError: rows that cannot run; all of them are told.
    """
    finished, told = set[str](), list[str]()
    for row in rows:
        try:
            if _is_finished(out / row.name, resolved(row.recipe, parts(row.recipe))):
                finished.add(row.name)
        except PrunusError as error:
            told.append(f"row {row.name}: {error}")
    if told:
        raise PrunusError("\n".join(told))
    return finished


def _is_finished(folder: Path, settings: dict[str, Any]) -> bool:
    if not (folder / REPORT).is_file():
        return False
    there = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    if there == settings:
        return True
    other = sorted(key for key in there | settings if there.get(key) != settings.get(key))
    raise PrunusError(
        f"{folder} holds the run of a recipe with another {', '.join(other)}; remove that folder,"
        " rename the row, or choose another --out"
    )
