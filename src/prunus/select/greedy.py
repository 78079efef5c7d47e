"""Units go in the order of score / cost until the rest fits: greedy for the knapsack problem."""

from collections.abc import Mapping
from fractions import Fraction

from prunus.select._pool import Pool
from prunus.select._selector import Selector


class Greedy(Selector):
    """The units with the least score (for what they cost, where scores add up to a loss) go."""

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """As few removals as bring the cost under the limit, by bisection: cost only falls."""
        steps, most = pool.removals(), pool.most()

        def after(count: int) -> dict[str, int]:
            gone = steps[:count].bincount(minlength=len(most)).tolist()
            sizes = (candidate.size for candidate in pool.candidates.values())
            parts = zip(most.items(), gone, sizes, strict=True)
            return {name: units - times * size for (name, units), times, size in parts}

        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            fits = pool.cost({**decided, **after(middle)}) <= limit
            low, high = (low, middle) if fits else (middle + 1, high)
        return after(low)
