"""Carries a study out: every row into a folder of its own, finished ones once."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from prunus.errors import PrunusError
from prunus.files import sweep
from prunus.held import held
from prunus.safe import tidy
from prunus.study._board import Board
from prunus.study._chosen import chosen
from prunus.study._job import is_finished
from prunus.study._result import REPORT, Result, result
from prunus.study._row import Row
from prunus.study._table import write
from prunus.study._turn import Turn
from prunus.study.engine import Engine, Place
from prunus.study.engine.local import Local

LOG = "study.log"
HERE = Local(workers=0)


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
    rows: Iterable[Row],
    out: str | Path,
    only: Sequence[str] = (),
    quiet: bool = False,
    engine: Engine = HERE,
) -> Study:
    """Run the rows of a sheet that are not finished; write ``study.json``, .csv, .md and .html.

    A row whose folder holds the report of the same recipe is finished. One that fails does not keep
    the others from running; why it failed is told in the end and, in full, in ``study.log``.

    Args:
        rows: see :func:`prunus.study.read_sheet`.
        out: the folder of the rows' folders.
        only: which rows, see :func:`prunus.study.chosen`; none is all of them.
        quiet: show no progress.
        engine: where they run; if nothing is said, one after the other in this process.

    Raises:
        PrunusError: no row is meant, parts of a row do not fit each other, a row's folder holds the
            run of another recipe, a study is running in ``out``, or the engine cannot be had.
    """
    out, rows = Path(out), list(rows)
    turn = chosen(rows, only)
    out.mkdir(parents=True, exist_ok=True)
    failed, known = dict[str, str](), dict[str, Result]()
    with held(out / ".study.lock", f"{out}: a study is going on there already"):
        sweep(out)
        finished = _finished(rows, out)
        tasks = [Turn(row) for row in turn if row.name not in finished]
        place = Place(out.absolute(), out.absolute() / LOG, Path.cwd())
        with (
            Board(len(tasks), quiet, engine.live) as board,
            closing(engine.events(tasks, place, quiet)) as events,
        ):
            for event in events:
                board.show(event)
                if event.ended:
                    if event.why:
                        failed[event.task.name] = event.why
                    _written(rows, out, failed, known)
        return _written(rows, out, failed, known)


def _finished(rows: Sequence[Row], out: Path) -> set[str]:
    """The rows that need not run again.

    Raises:
        PrunusError: rows that cannot run; all of them are told.
    """
    finished, told = set[str](), list[str]()
    for row in rows:
        try:
            if is_finished(row, out):
                finished.add(row.name)
                tidy(out / row.name)
        except PrunusError as error:
            told.append(f"row {row.name}: {error}")
    if told:
        raise PrunusError("\n".join(told))
    return finished


def _written(
    rows: Sequence[Row], out: Path, failed: dict[str, str], known: dict[str, Result]
) -> Study:
    """What became of the rows so far, also as files; each row's report is read once."""
    for row in rows:
        if row.name in failed or row.name in known or not (out / row.name / REPORT).is_file():
            continue
        try:
            known[row.name] = result(row, out / row.name)
        except PrunusError as error:
            failed[row.name] = str(error)
    results = tuple(known[row.name] for row in rows if row.name in known)
    waiting = tuple(row.name for row in rows if row.name not in {*failed, *known})
    write(results, out, failed, waiting)
    return Study(results, failed, waiting)
