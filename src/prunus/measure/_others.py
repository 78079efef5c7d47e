"""What else the machine did while something was measured."""

import time
from typing import Self

import psutil


class Others:
    """How many cores other processes kept busy while a block ran, on average.

    Processes that this one started count as others.
    """

    cores: float = 0.0

    def __enter__(self) -> Self:
        self._start = _clocks()
        return self

    def __exit__(self, *_: object) -> None:
        wall, own, all_ = (now - then for now, then in zip(_clocks(), self._start, strict=True))
        self.cores = max(0.0, (all_ - own) / max(wall, 1e-9))


def _clocks() -> tuple[float, float, float]:
    """Seconds on the wall, of computing by this process, and of computing by all."""
    spent = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")  # guests stand under user, too
    return (
        time.perf_counter(),
        time.process_time(),
        sum(value for name, value in spent.items() if name not in idle),
    )
