"""Evenly."""

from prunus.schedule._schedule import Schedule


class Linear(Schedule):
    """The same amount goes at every choice."""

    def density(self, way: float, final: float) -> float:
        """1 - (1 - final) way."""
        return 1 - (1 - final) * way
