"""Slowly at first, with the third power of the way."""

from prunus.schedule._schedule import Schedule


class Cube(Schedule):
    """Little goes at first, most at the end: neural-compressor's cube."""

    def density(self, way: float, final: float) -> float:
        """1 - (1 - final) way^3."""
        return 1 - (1 - final) * way**3
