"""Fast at first (Zhu and Gupta, arXiv 1710.01878, equation 1)."""

from prunus.schedule._schedule import Schedule


class Cubic(Schedule):
    """Much goes while there is much to spare, little at the end."""

    def density(self, way: float, final: float) -> float:
        """It is final + (1 - final) (1 - way)^3."""
        return final + (1 - final) * (1 - way) ** 3
