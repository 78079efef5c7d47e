"""What runs, what is done and what failed, on standard error."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from prunus.recipe._bars import Shown
from prunus.study.engine import Event


class Board(Shown):
    """A line for every row that is over and, on a terminal, a clock for every one that runs."""

    def __init__(self, rows: int, quiet: bool, live: bool, what: str = "rows") -> None:
        """Of so many, without clocks where they show progress of their own."""
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
        self._all = self._progress.add_task(what, total=rows)
        self._running: dict[str, Any] = {}
        self._over, self._rows = 0, rows

    def show(self, event: Event) -> None:
        """A task began; or it ended, and failed where there is a reason; or it was lost."""
        name = event.task.name
        if not event.ended and not event.lost:
            shown = " on ".join(filter(None, (name, event.node)))
            self._running[name] = self._progress.add_task(f"  {escape(shown)}", total=None)
            return
        if name in self._running:  # one that was lost may not even have begun
            self._progress.remove_task(self._running.pop(name))
        if event.ended:
            self._over += 1
            self._progress.update(self._all, advance=1)
        if not self._quiet:
            self._print(name, event)

    def _print(self, name: str, event: Event) -> None:
        reason = escape(next(iter(event.why.splitlines()), ""))
        said = f"[red]{'failed' if event.ended else 'lost'}[/], {reason}" if reason else "done"
        self._console.print(f"{self._over}/{self._rows} {escape(name)}: {said}")
