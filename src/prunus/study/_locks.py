"""One run at a time of a row."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prunus.errors import PrunusError

PATIENCE = 60.0
"""Seconds in which the worker of a study that was killed has ended itself."""


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
