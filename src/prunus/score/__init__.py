"""What matters: one file a criterion, a pure function of what the probe streams."""

from prunus.score._criterion import Criterion, look, score

__all__ = ["Criterion", "look", "score"]
