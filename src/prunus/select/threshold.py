"""One threshold for all units (K-prune, Park et al., ICLR 2024, arXiv 2308.03449, algorithm 1)."""

from bisect import bisect_left
from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

from prunus.select._pool import Candidate, Pool
from prunus.select._selector import Selector


class Threshold(Selector):
    """Units stay whose score (for what they cost) is above the least threshold that fits.

    Thresholds are the scores themselves, from the least upwards, until what is strictly above costs
    strictly less than the limit: at least the worst unit goes, units of one score go together, and
    nothing is put back.
    """

    fills: ClassVar[bool] = False

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """What is above the threshold, by bisection: cost only falls as the threshold rises."""
        thresholds = sorted({key for c in pool.candidates.values() for key in c.keys})

        def above(place: int) -> dict[str, int]:
            floor = thresholds[place]
            return {name: _above(c, floor) for name, c in pool.candidates.items()}

        def fits(place: int) -> bool:
            return pool.cost({**decided, **above(place)}) < limit

        return above(bisect_left(range(len(thresholds) - 1), True, key=fits))


def _above(candidate: Candidate, floor: float) -> int:
    """How many units score above a threshold, as far as they must and may stay."""
    units = candidate.size * sum(key > floor for key in candidate.keys)
    return min(max(units, candidate.least), candidate.most)
