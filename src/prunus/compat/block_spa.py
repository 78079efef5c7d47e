"""The sheet of block-spa-experiments, as it is: one worksheet a task, one run a row.

Its columns are arguments of the published scripts. A row without pruning is dense, one without all
that a run needs is unfinished; both are left out. ``EXP ID`` names a group of rows, and rows are
called by task, code, method and what remains of their weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from prunus.compat._block_spa import DENSITY, METHOD, NEEDED, Run
from prunus.compat._block_spa_tasks import Known, known
from prunus.errors import PrunusError
from prunus.table import Cell, Entry, Line, Table, slug

GROUP, REMAINS = "EXP ID", "Effective encoder remain weights %"
HEADER = {GROUP, REMAINS, METHOD}
PRUNING = (METHOD, "initial_threshold", DENSITY)


class BlockSpa:
    """Worksheets with the columns ``EXP ID``, what remains, and ``pruning_method``."""

    def recognises(self, titles: Sequence[str]) -> bool:
        """Whether a row is the header of such a worksheet."""
        return set(titles) >= HEADER

    def entries(self, table: Table) -> list[Entry]:
        """One for every row; those that are dense or unfinished lack something.

        Raises:
            PrunusError: a column is missing, or the columns are of none of the tasks.
        """
        missing = [title for title in NEEDED if title not in table.titles]
        if missing:
            raise PrunusError(f"{table.where}: the columns {', '.join(missing)} are missing")
        task = known(table)
        dense = [line for line in table.lines if _dense(line)]
        best = task.published(dense[0]) if dense else {}
        return list(_apart(_entry(line, task, best.get("pruned")) for line in table.lines))


def _dense(line: Line) -> bool:
    """Whether a row trains, and prunes nothing."""
    return GROUP in line.said and not any(title in line.said for title in PRUNING)


def _entry(line: Line, task: Known, dense: Cell | None) -> Entry:
    lacks = _lacks(line)
    run = Run(line)
    if lacks:
        return Entry(line.where, Cell("", line.where), {}, lacks=lacks)
    published = task.published(line) | ({} if dense is None else {"dense": dense})
    said = {title: cell.held for title, cell in line.said.items()}
    return Entry(
        where=line.where,
        name=Cell(slug(task.name, run.code.lower(), *run.words, _amount(line)), line.where),
        settings={**task.settings(line.where), **run.settings()},
        recipe=Cell(run.recipe, line.where),
        published=published,
        columns={"code": run.code, **said},
    )


def _lacks(line: Line) -> str:
    if _dense(line):
        return "it is dense: nothing is pruned"
    lacking = [title for title in NEEDED if title not in line.said]
    return f"it is unfinished: it lacks {', '.join(lacking)}" if lacking else ""


def _amount(line: Line) -> str:
    """What remains, in percent; of a row without a result what decides it."""
    remains = line.cells[REMAINS].held
    if isinstance(remains, int | float):
        return f"{remains:.1f}"
    title = next((own for own in ("final_lambda", DENSITY) if own in line.said), DENSITY)
    return f"{title.rpartition('_')[2]}-{line.cells[title].held}"


def _apart(entries: Iterator[Entry]) -> Iterator[Entry]:
    """The same, with a number behind a name that stood before."""
    seen: dict[str, int] = {}
    for entry in entries:
        name = str(entry.name.held)
        seen[name] = seen.get(name, 0) + 1
        again = f"-{seen[name]}" if name and seen[name] > 1 else ""
        yield replace(entry, name=entry.name.of(f"{name}{again}"))
