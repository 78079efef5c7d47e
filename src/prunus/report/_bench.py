"""What a comparison of latencies holds."""

from prunus.report._schema import Latency, Pair
from prunus.report._value import Value

HALF = 0.5
"""Of the machine's peak: a dense model below it is a slow baseline."""


class Cell(Value):
    """One call by one runtime.

    Attributes:
        dtype: what it computed in.
        flops: of the call; without those on zeros, where the runtime passes over them.
        latency: both models in turns.
    """

    dtype: str
    flops: Pair
    latency: Latency

    @property
    def rate(self) -> float:
        """FLOPs that the dense model does in a second of computing on one core."""
        return 1000 * self.flops.dense / self.latency.dense


class Bench(Value):
    """Two models side by side, in every runtime and call that was asked for.

    Attributes:
        dense: the checkpoint before.
        pruned: the checkpoint after.
        params: their parameters.
        peaks: FLOPs a second of one core in products of float32 matrices, by library.
        cells: what was measured.
        hardware: of which machine.
        versions: of what.
    """

    dense: str
    pruned: str
    params: Pair
    peaks: dict[str, float]
    cells: tuple[Cell, ...]
    hardware: dict[str, str | int | bool]
    versions: dict[str, str]

    @property
    def peak(self) -> float:
        """The most of them."""
        return max(self.peaks.values())

    def share(self, cell: Cell) -> float | None:
        """What of the peak a cell's dense model reaches; None where it computes in another type."""
        return cell.rate / self.peak if cell.dtype == "float32" else None
