"""Peak resident memory of a piece of work."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import psutil


@dataclass
class Peak:
    """The most memory the process held, in bytes: ``start`` at first, ``bytes`` at most so far."""

    start: int
    bytes: int

    @property
    def grown(self) -> int:
        """By how many bytes the process grew at most."""
        return self.bytes - self.start


@contextmanager
def peak_memory(every: float = 0.01, before: int = 0) -> Iterator[Peak]:
    """Watch the resident memory of this process while the block runs.

    Args:
        every: seconds between two looks; a peak that is shorter may be missed.
        before: bytes of a peak that counts as well.

    Yields:
        The peak, up to date while the block runs and final after it.
    """
    process = psutil.Process()
    held = process.memory_info().rss
    peak, done = Peak(held, max(held, before)), Event()

    def look() -> None:
        peak.bytes = max(peak.bytes, process.memory_info().rss)

    def watch() -> None:
        while not done.wait(every):
            look()

    watcher = Thread(target=watch, name="prunus-memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        look()
