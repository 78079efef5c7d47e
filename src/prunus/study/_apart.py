"""Runs rows in processes of their own, several at a time: memory and crashes are a row's own."""

import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from prunus.recipe._log import logged
from prunus.study._job import carry_out
from prunus.study._row import Row

PRELOADED = ["prunus.study._job"]
"""What is imported once; each process begins as a copy of one that has it."""
INTERRUPTED = 128 + signal.SIGINT
"""How a process that is interrupted ends."""
GRACE = 20.0
"""Seconds in which a process that is told to end may tidy up."""
LONGEST = 20_000
"""Characters of an error; more of it would not fit into a pipe that nobody reads."""


@dataclass(frozen=True)
class Event:
    """A row began, or ended; ``why`` says why it failed, and is empty where it did not."""

    row: Row
    ended: bool = False
    why: str = ""


@dataclass(frozen=True)
class Worker:
    """A row, the process that runs it, and where that tells how it ended."""

    row: Row
    process: BaseProcess
    told: Connection


def apart(rows: Sequence[Row], out: Path, log: Path, workers: int) -> Iterator[Event]:
    """Run rows, each in a fresh process that shares the threads of this one with the others.

    A process that dies is a row that failed. The processes end with this one, however it ends.

    Args:
        rows: of a sheet.
        out: the study's folder.
        log: a file for whatever rows print.
        workers: how many run at a time.

    Yields:
        What happened.

    Raises:
        KeyboardInterrupt: a process was interrupted.
    """
    context = _context()
    threads = max(1, torch.get_num_threads() // workers)
    turn, busy = deque(rows), list[Worker]()
    try:
        while turn or busy:
            while turn and len(busy) < workers:
                row = turn.popleft()
                busy.append(_start(context, row, out, log, threads))
                yield Event(row)
            over = set(wait([worker.process.sentinel for worker in busy]))
            for worker in [one for one in busy if one.process.sentinel in over]:
                busy.remove(worker)
                worker.process.join()
                if worker.process.exitcode == INTERRUPTED:  # Ctrl-C is for all of them
                    raise KeyboardInterrupt
                yield Event(worker.row, ended=True, why=_why(worker))
    finally:
        _end([worker.process for worker in busy])


def _context() -> Any:
    """Processes are copied where that is safe, and started anew elsewhere."""
    if not sys.platform.startswith("linux"):
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _start(context: Any, row: Row, out: Path, log: Path, threads: int) -> Worker:
    told, telling = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(row, out, log, threads, telling), name=f"prunus {row.name}"
    )
    process.start()
    telling.close()
    return Worker(row, process, told)


def _work(row: Row, out: Path, log: Path, threads: int, telling: Connection) -> None:
    """What a process does."""
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_watch_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for processes that this one starts
    torch.set_num_threads(threads)
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        with logged(log) as logger:
            why = carry_out(row, out, logger, quiet=True)
        telling.send(why[:LONGEST])
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


def _why(worker: Worker) -> str:
    """Why the row of a process that is over failed."""
    try:
        return worker.told.recv() if worker.told.poll() else _death(worker.process.exitcode)
    except EOFError:
        return _death(worker.process.exitcode)
    finally:
        worker.told.close()


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with code {code} and said nothing; see study.log"
    name = signal.Signals(-code).name
    more = "; was there enough memory?" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{more}"


def _end(processes: Collection[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    last = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, last - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
