"""One lock for everything that one process does at a time; the system frees those of the killed."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from prunus.errors import PrunusError


class Held(PrunusError):
    """Somebody else holds what was asked for."""


@contextmanager
def held(lock: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Holds a lock while something is done; its file says who does, and is gone afterwards.

    Args:
        lock: the file.
        what: begins the message: ``runs/mine: a run is going on there already``.
        patience: seconds in which somebody else may let it go.

    Raises:
        Held: somebody else holds it; who that is, is told.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    key = FileLock(lock)
    try:
        key.acquire(timeout=patience)
    except Timeout:
        raise Held(
            f"{what} ({_holder(lock)}); wait for it, end it, or choose another --out"
        ) from None
    try:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        lock.write_text(f"process {os.getpid()} on {platform.node()} since {now}", "utf-8")
        yield
    finally:
        lock.unlink(missing_ok=True)  # a lock without a name counts for nobody who waited for it
        key.release()


def beside(path: Path) -> Path:
    """The lock of a file or folder that is replaced as a whole."""
    path = path.absolute()
    return path.with_name(f".{path.name}.lock")


def _holder(lock: Path) -> str:
    """Who holds a lock, as its file says it."""
    try:
        return lock.read_text("utf-8") or "another process"
    except OSError:
        return "another process"
