"""Connection sensitivity that remembers: S <- 0.9 S + |w g| (neural-compressor 2.x)."""

from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveFloat

from prunus.score._traced import Traced


class SnipMomentum(Traced):
    """The size of weight times gradient, summed over steps that fade.

    Attributes:
        keep: what stays of the steps before.
        new: the weight of a new step.
    """

    reads: ClassVar[tuple[str, ...]] = ("snip",)
    keep: NonNegativeFloat = 0.9
    new: PositiveFloat = 1.0

    @property
    def fading(self) -> tuple[float, float]:
        """As the settings say."""
        return self.keep, self.new
