"""What the repairs share that choose units again, on what the mended student really shows."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from prunus.gram import fit
from prunus.recover._repair import Reader, Repair


class Choice(Repair):
    """Keeps as many units as were planned, chosen from a pool of the best.

    Attributes:
        pool_factor: size of the pool, as a multiple of the units that stay.
        pool_extra: and so many more.
        ridge: of the fit and of the inputs' variance, relative to the mean variance of an input.
    """

    pool_factor: Annotated[float, Field(ge=1)] = 1.5
    pool_extra: NonNegativeInt = 32
    ridge: PositiveFloat = 0.03

    def pool(self, kept: int, units: int) -> int:
        """The pool's size: relative for few units (heads), which are large."""
        extra = self.pool_extra if units >= 8 * self.pool_extra else 2
        return min(units, int(kept * self.pool_factor) + extra) if kept else 0

    def objective(self, reader: Reader) -> tuple[Tensor, Tensor]:
        """What a choice costs: tr(D^T H D), D what it changes in V.

        Returns:
            H, the [inputs, inputs] sum of squares of what the student shows in the pool, about the
            mean where there is a bias; and V, [inputs, outputs], the whole pool's weights fitted to
            the dense model's residual stream, outputs weighed by the curvature's metric where
            scoring took it, and alike where it did not.
        """
        seen, biased = reader.moments, reader.bias is not None
        weight, _ = fit(seen, reader.weight.double(), self.ridge, centred=biased)
        curvature = reader.evidence.curvature if reader.evidence else None
        if curvature is not None:
            weight = weight @ curvature.root
        return (seen.centred() if biased else seen).gram, weight
