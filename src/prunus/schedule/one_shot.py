"""All at once."""

from prunus.schedule._schedule import Schedule
from prunus.schedule._times import Times


class OneShot(Schedule):
    """Everything goes when the warm-up is over; ``every`` and ``cooldown`` have no say."""

    def density(self, way: float, final: float) -> float:
        """The final density."""
        return final if way else 1.0

    def times(self, steps: int, epoch: int | None = None) -> Times:
        """One choice, after the warm-up."""
        start = self.warmup.steps(epoch)
        found = Times(start, start, 1)
        found.check(steps)
        return found
