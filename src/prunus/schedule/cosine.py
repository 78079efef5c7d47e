"""Slowly at first, along a quarter of a cosine."""

from math import cos, pi

from prunus.schedule._schedule import Schedule


class Cosine(Schedule):
    """What goes follows 1 - cos(way pi / 2)."""

    def density(self, way: float, final: float) -> float:
        """1 - (1 - final) (1 - cos(way pi / 2))."""
        return 1 - (1 - final) * (1 - cos(pi / 2 * way))
