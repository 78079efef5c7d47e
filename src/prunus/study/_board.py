"""What runs, what is done and what failed, on standard error."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from prunus.recipe._bars import Shown


class Board(Shown):
    """A line for every row that is over and, on a terminal, a clock for every one that runs."""

    def __init__(self, rows: int, quiet: bool, live: bool) -> None:
        """Of so many rows; without clocks where rows show progress of their own."""
        console = Console(stderr=True)
        self._quiet, self._console = quiet, console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not live or not console.is_terminal,
        )
        self._all = self._progress.add_task("rows", total=rows)
        self._running: dict[str, Any] = {}
        self._over, self._rows = 0, rows

    def show(self, name: str, ended: bool, why: str) -> None:
        """A row began; or it ended, and failed where there is a reason."""
        if not ended:
            self._running[name] = self._progress.add_task(f"  {escape(name)}", total=None)
            return
        self._over += 1
        self._progress.remove_task(self._running.pop(name))
        self._progress.update(self._all, advance=1)
        if not self._quiet:
            reason = next(iter(why.splitlines()), "")
            said = f"[red]failed[/], {escape(reason)}" if why else "done"
            self._console.print(f"{self._over}/{self._rows} {escape(name)}: {said}")
