"""By the same factor."""

from prunus.schedule._schedule import Schedule


class Exponential(Schedule):
    """The same fraction of what is left goes at every choice."""

    def density(self, way: float, final: float) -> float:
        """The final density to the power of the way."""
        return final**way
