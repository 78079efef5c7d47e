"""One study at a time in a folder, and one run at a time of a row."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from prunus.errors import PrunusError
from prunus.files import write_bytes

PATIENCE = 60.0
"""Seconds in which the worker of a study that was killed has ended itself."""


@contextmanager
def study_lock(out: Path) -> Iterator[None]:
    """Holds a study's folder.

    Raises:
        PrunusError: another process holds it; who that is, is told.
    """
    lock, holder = FileLock(out / ".study.lock"), out / ".study.holder"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise PrunusError(
            f"{out}: a study is running there already ({who}); wait for it, end it, or choose"
            " another --out"
        ) from None
    try:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        write_bytes(holder, f"process {os.getpid()} on {platform.node()} since {now}".encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def row_lock(folder: Path) -> Iterator[None]:
    """Holds the folder of a row, waiting for a worker that is about to end.

    Raises:
        PrunusError: it does not end.
    """
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=PATIENCE):
            yield
    except Timeout:
        raise PrunusError(f"{folder}: another process is running this row") from None
