"""Units chosen again, on what the mended student really shows."""

from typing import Annotated, ClassVar

from pydantic import Field

from prunus.gram import removals
from prunus.recover._choice import Choice
from prunus.recover._repair import Reader, mask_of


class Reselect(Choice):
    """Keep as many units as were planned, but those that optimal brain surgeon leaves here.

    The student's inputs differ from the dense model's: on a pool of the best units, the weights are
    fitted to the dense model's residual stream, and the surplus goes as in ``score: obs``, with
    the outputs weighed by the same gradients but every token alike.

    Attributes:
        pool_factor: size of the pool, as a multiple of the units that stay.
        pool_extra: and so many more.
        ridge: of the fit and of the curvature, relative to the mean variance of an input.
        share: of the units that are left, how many go at once.
    """

    reads: ClassVar[tuple[str, ...]] = ("curvature",)
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.125

    def mend(self, reader: Reader) -> None:
        """Choose the units that stay."""
        units = reader.units
        count = int(units.sum())
        if count in (0, len(units)):
            return
        gram, weight = self.objective(reader)
        gone = removals(gram, weight, reader.tile, self.ridge, self.share, until=count).order
        reader.keep(~mask_of(gone, len(units)))
