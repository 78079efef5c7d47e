"""What matters: one file a criterion, a pure function of what the probe streams."""

from prunus.score._criterion import Criterion, score

__all__ = ["Criterion", "score"]
