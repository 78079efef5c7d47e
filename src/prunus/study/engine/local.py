"""Processes of this machine, several at a time."""

from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait

import torch
from pydantic import NonNegativeInt

from prunus.recipe._log import logged
from prunus.study.engine import _process
from prunus.study.engine._engine import Engine
from prunus.study.engine._pool import Event, Events, Pool
from prunus.study.engine._process import Worker, done, end, start
from prunus.study.engine._task import Place, Task


class Local(Engine):
    """Each task in a fresh process of this machine; they share its threads.

    Attributes:
        workers: how many tasks run at a time; 0 runs one after the other in this process.
    """

    workers: NonNegativeInt = 1

    @property
    def live(self) -> bool:
        """Whether tasks show no progress of their own."""
        return self.workers > 0

    def pool(self, place: Place) -> Pool:
        """Processes."""
        return _Processes(place, self.workers)

    def width(self) -> int:
        """As many as were asked for."""
        return max(1, self.workers)

    def events(self, tasks: Sequence[Task], place: Place, quiet: bool) -> Events:
        """Run tasks, see :meth:`Engine.events`."""
        if self.workers:
            yield from super().events(tasks, place, quiet)
            return
        with logged(place.log) as log:
            for task in tasks:
                yield Event(task)
                why, _ = done(task, place, log, quiet)
                yield Event(task, ended=True, why=why)


class _Processes(Pool):
    """So many processes at a time."""

    def __init__(self, place: Place, workers: int) -> None:
        self._place, self._workers = place, workers
        self._threads = max(1, torch.get_num_threads() // workers)
        self._busy, self._begun = list[Worker](), list[Task]()

    @property
    def room(self) -> bool:
        return len(self._busy) < self._workers

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def start(self, task: Task) -> None:
        self._busy.append(start(task, self._place, self._threads, _process.PRELOADED))
        self._begun.append(task)

    def wait(self) -> Iterator[Event]:
        while self._begun:
            yield Event(self._begun.pop(0))
        over = set(wait([worker.process.sentinel for worker in self._busy]))
        for worker in [one for one in self._busy if one.process.sentinel in over]:
            why, lost = worker.over()
            self._busy.remove(worker)
            if worker.interrupted:  # Ctrl-C is for all of them
                raise KeyboardInterrupt
            yield Event(worker.task, ended=True, why=why, lost=lost)

    def close(self) -> None:
        end(self._busy)
