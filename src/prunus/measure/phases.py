"""Seconds spent in each phase of a run."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Phases:
    """A stop-watch with named hands: ``with phases("score"): ...`` adds to the hand ``score``.

    Phases may come back and may stand inside one another: every second counts for the innermost
    one only, so that the hands never add up to more than ``total``.
    """

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        """Begin; or go on from the ``seconds`` of a watch before, ``total`` included."""
        self._spent = dict(before or {})
        self._before = self._spent.pop("total", 0.0)
        self._open: list[str] = []
        self._start = self._mark = time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time inside the block for ``name``, also when the block raises."""
        self._lap()
        self._spent.setdefault(name, 0.0)
        self._open.append(name)
        try:
            yield
        finally:
            self._lap()
            self._open.pop()

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of each phase so far, and in ``total``, with those before."""
        self._lap()
        return {**self._spent, "total": self._before + self._mark - self._start}

    def _lap(self) -> None:
        now = time.perf_counter()
        if self._open:
            self._spent[self._open[-1]] += now - self._mark
        self._mark = now
