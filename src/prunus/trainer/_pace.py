"""How far a training is, by its steps and by the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from transformers import TrainerCallback

from prunus import ranks


@dataclass
class Pace:
    """How far a training is, by its steps and by the clock: whichever is further.

    The learning rate rises over ``warmup`` of the way and then falls to zero at its end, wherever
    that turns out to be. Without ``seconds`` the clock has no say, and steps alone decide; of
    several processes the first one's counts.

    Attributes:
        steps: it ends after so many.
        seconds: it ends before a further step would end later than this.
        warmup: the fraction of the way on which the learning rate rises.
        told: is told the whole percents of the way that lie behind.
        before: seconds that it took until it was taken up again.
    """

    steps: int | None = None
    seconds: float | None = None
    warmup: float = 0.0
    told: Callable[[int], None] = lambda _: None
    began: float = field(default_factory=lambda: time.perf_counter())
    before: float = 0.0

    @property
    def elapsed(self) -> float:
        """Wall-clock seconds since it began, those in which nobody trained left out."""
        return self.before + time.perf_counter() - self.began

    def way(self, step: int) -> float:
        """The fraction of the way in the middle of a step, counted from 0."""
        spent = 0.0 if self.seconds is None else ranks.number(self.elapsed) / self.seconds
        return min(1.0, max((step + 0.5) / (self.steps or inf), spent))

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a fraction of the highest."""
        way = self.way(step)
        return min(way / self.warmup if self.warmup else 1.0, (1 - way) / (1 - self.warmup))

    def over(self, done: int) -> bool:
        """Whether it ends after so many steps."""
        if (
            self.seconds is not None
            and ranks.number(self.elapsed) * (done + 1) / done > self.seconds
        ):
            return True
        return done >= (self.steps or inf)


class Stop(TrainerCallback):
    """Ends a training by its pace."""

    def __init__(self, pace: Pace) -> None:
        self._pace, self._percent = pace, -1

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is, and stop at the end."""
        over = self._pace.over(state.global_step)
        control.should_training_stop |= over
        percent = 100 if over else int(100 * self._pace.way(state.global_step))
        if percent > self._percent:
            self._percent = percent
            self._pace.told(percent)
