"""Milliseconds in a report."""

from prunus.report._value import Count, Positive
from prunus.report._value import Value as _Value


class Timing(_Value):
    """Milliseconds of one call; speedup = median of dense / pruned over pairs, with quartiles."""

    dense: float
    pruned: float
    speedup: float
    speedup_iqr: tuple[float, float]


class Predicted(_Value):
    """Milliseconds of one call by the table of this machine that the budget was counted with."""

    dense: float
    pruned: Positive

    @property
    def speedup(self) -> float:
        """Dense / pruned."""
        return self.dense / self.pruned


class Latency(Timing):
    """One paired measurement.

    Attributes:
        runtime: what ran the models, such as ``torch-eager``.
        batch: sequences in a call.
        length: tokens of each sequence; None where the model reads none.
        threads: how many threads the runtime used.
        ideal: the FLOPs ratio of the two models at this length: what no overhead would give.
        clock: what the first four values were taken with, ``cpu`` or ``wall``.
        wall: the same values by the clock on the wall.
        pairs: how many pairs were timed.
        noisy: the quartiles lie too far apart to trust the median.
        others: how many cores other processes kept busy meanwhile, on average.
        predicted: what a budget of latency counted on for this call.
    """

    runtime: str
    batch: Count
    length: float | None = None
    threads: Count
    ideal: Positive
    clock: str = "cpu"
    wall: Timing | None = None
    pairs: Count | None = None
    noisy: bool = False
    others: float | None = None
    predicted: Predicted | None = None
