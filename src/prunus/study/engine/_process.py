"""A task in a process of its own: memory and crashes are its own."""

import logging
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from prunus.held import Held
from prunus.recipe._log import logged
from prunus.study.engine._task import Place, Task

PRELOADED = ["prunus.study._job"]
"""What is imported once; each process begins as a copy of one that has it."""
INTERRUPTED = 128 + signal.SIGINT
"""How a process that is interrupted ends."""
GRACE = 20.0
"""Seconds in which a process that is told to end may tidy up."""
LONGEST = 20_000
"""Characters of an error; more of it would not fit into a pipe that nobody reads."""


@dataclass(frozen=True)
class Worker:
    """A task, the process that runs it, and where that tells how it ended."""

    task: Task
    process: BaseProcess
    told: Connection

    @property
    def interrupted(self) -> bool:
        """Whether it ended as a process that is interrupted does."""
        return self.process.exitcode == INTERRUPTED

    def over(self) -> tuple[str, bool]:
        """Wait until it is over: why it failed, and whether it is to be tried again."""
        self.process.join()
        try:
            if self.told.poll():
                return self.told.recv()
        except EOFError:
            pass
        finally:
            self.told.close()
        return _death(self.process.exitcode), True


def start(task: Task, place: Place, threads: int, preloaded: Sequence[str]) -> Worker:
    """Run a task in a fresh process, which ends with this one, however that ends.

    Args:
        task: what to do.
        place: where.
        threads: of torch.
        preloaded: modules that the process begins with.
    """
    context = _context(preloaded)
    told, telling = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(task, place, threads, telling), name=f"prunus {task.name}"
    )
    process.start()
    telling.close()
    return Worker(task, process, told)


def done(task: Task, place: Place, log: logging.Logger, quiet: bool) -> tuple[str, bool]:
    """Do a task in this process: why it failed, and whether it is to be tried again."""
    try:
        return task.do(place.out, log, quiet), False
    except Held as error:
        return str(error), True


def end(workers: Collection[Worker]) -> None:
    """End processes: politely, and after a while by force."""
    for worker in workers:
        worker.process.terminate()
    last = time.monotonic() + GRACE
    for worker in workers:
        worker.process.join(max(0.0, last - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _context(preloaded: Sequence[str]) -> Any:
    """Processes are copied where that is safe, and started anew elsewhere."""
    if not sys.platform.startswith("linux"):
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    return context


def _work(task: Task, place: Place, threads: int, telling: Connection) -> None:
    """What a process does."""
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_watch_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for processes that this one starts
    import torch

    torch.set_num_threads(threads)
    if place.here.is_dir():
        os.chdir(place.here)
    with place.log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        with logged(place.log) as logger:
            why, lost = done(task, place, logger, quiet=True)
        telling.send((why[:LONGEST], lost))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _terminated(number: int, _: Any) -> None:
    sys.exit(128 + number)


def _watch_parent() -> None:
    """Ends this process when its parent is gone, even if that was killed."""
    parent = mp.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with code {code} and said nothing; see the log"
    name = signal.Signals(-code).name
    more = "; was there enough memory?" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{more}"
