"""Progress with time left, on standard error."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from prunus.launched import speaks

EVERY = 0.1
"""Seconds between two drawings."""


class Shown:
    """What is shown while a block runs."""

    _progress: Progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._progress.stop()


class Bars(Shown):
    """Bars that are drawn as work is done, and gone when it is over.

    They are drawn by the work itself: a thread that draws would count as computing time where
    latency is measured.
    """

    def __init__(self, quiet: bool = False) -> None:
        """Show nothing at all when ``quiet``, or where standard error is no terminal."""
        console = Console(stderr=True)
        self._quiet = quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            speed_estimate_period=3600,
            disable=quiet or not speaks() or not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._drawn = 0.0

    def step(self, what: str, done: int, of: int) -> None:
        """``done`` of ``of`` steps of ``what`` are over; the bar goes with the last one."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._tasks[what], completed=done, total=of)
        if done >= of:
            self._progress.remove_task(self._tasks.pop(what))
        self._draw(now=done in (0, of))

    def clear(self) -> None:
        """Take away every bar."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()
        self._draw(now=True)

    def say(self, text: str) -> None:
        """Print a line, unless nothing shall be shown."""
        if not self._quiet:
            self._progress.console.print(text, markup=False, highlight=False)

    def over(self, items: Iterable[Any], what: str) -> "Watched":
        """``items`` as a list that shows a bar whenever it is gone through."""
        return Watched(items, self, what)

    def _draw(self, now: bool) -> None:
        if now or time.monotonic() - self._drawn > EVERY:
            self._progress.refresh()
            self._drawn = time.monotonic()


class Watched(list[Any]):
    """A list that tells how far it has been gone through."""

    def __init__(self, items: Iterable[Any], bars: Bars, what: str) -> None:
        super().__init__(items)
        self._bars, self._what = bars, what

    def __iter__(self) -> Iterator[Any]:
        """The items, with a bar."""
        try:
            for done, item in enumerate(super().__iter__()):
                self._bars.step(self._what, done, len(self))
                yield item
        finally:
            self._bars.step(self._what, len(self), len(self))
