"""The contract of a schedule."""

from pydantic import model_validator

from prunus.errors import PrunusError
from prunus.registry import Part
from prunus.schedule._span import Length, Span
from prunus.schedule._times import Times

CHOICES = 40
"""How often masks are chosen unless a schedule says how often."""


class Schedule(Part):
    """How the density falls from all to what is asked for, and when.

    Attributes:
        warmup: trained before masks are chosen for the first time, which removes nothing yet.
        cooldown: trained after they were chosen for the last time.
        every: from one choice to the next; None makes forty choices.
    """

    warmup: Span = Length(0)
    cooldown: Span = Length(0)
    every: Span | None = None

    @model_validator(mode="after")
    def _moves(self) -> "Schedule":
        if self.every is not None and not self.every.number:
            raise PrunusError("every: masks cannot be chosen every 0 steps")
        return self

    def density(self, way: float, final: float) -> float:
        """The density at a fraction of the way from 0 (all stays) to 1 (``final`` stays)."""
        raise NotImplementedError

    def progress(self, way: float) -> float:
        """What is gone at a fraction of the way, of what will be; as if a tenth stayed."""
        return (1 - self.density(way, 0.1)) / 0.9

    def times(self, steps: int, epoch: int | None = None) -> Times:
        """When masks are chosen in a training.

        Args:
            steps: optimizer steps of the training.
            epoch: optimizer steps of an epoch.

        Raises:
            PrunusError: the training is too short.
        """
        start, end = self.warmup.steps(epoch), steps - self.cooldown.steps(epoch)
        usual = max(1, (end - start + 1) // CHOICES)
        every = usual if self.every is None else max(1, self.every.steps(epoch))
        found = Times(start, end, every)
        found.check(steps)
        return found
