"""When masks change: the steps of a training at which a schedule acts."""

from dataclasses import dataclass

from prunus.errors import PrunusError


@dataclass(frozen=True)
class Times:
    """Steps after which masks are chosen anew.

    Attributes:
        start: optimizer steps that are done when they are chosen for the first time.
        end: at most so many are done when they are chosen for the last time.
        every: steps from one choice to the next.
    """

    start: int
    end: int
    every: int

    @property
    def last(self) -> int:
        """How many choices there are after the first one."""
        return (self.end - self.start) // self.every

    @property
    def last_due(self) -> int:
        """Steps that are done when masks are chosen for the last time."""
        return self.start + self.last * self.every

    def due(self, done: int, beyond: bool = False) -> bool:
        """Whether masks are chosen when so many steps are done, or ``beyond`` the end as well."""
        within = self.start <= done and (beyond or done <= self.end)
        return within and (done - self.start) % self.every == 0

    def way(self, done: int) -> float:
        """The fraction of the way that lies behind: 0 at the first choice, 1 from the last on."""
        if self.last == 0:
            return float(done >= self.start)
        return min(1.0, max(0, done - self.start) // self.every / self.last)

    def check(self, steps: int | None) -> None:
        """Check that the times lie within a training.

        Raises:
            PrunusError: they do not, or leave no room for two choices.
        """
        if self.end < self.start:
            raise PrunusError(
                f"pruning would start after {self.start} steps and end after {self.end}: shorten"
                " warmup and cooldown, or train longer"
            )
        if self.start != self.end and self.last == 0:
            raise PrunusError(
                f"masks every {self.every} steps, but there are only {self.end - self.start} steps"
                " in which they may change: lower `every`, or train longer"
            )
        if steps is not None and self.end > steps:
            raise PrunusError(
                f"pruning would end after {self.end} steps, but the training has {steps}"
            )
