"""What a user asks of a model, and which run gives it best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunus.report import _units as show
from prunus.study._result import Result


@dataclass(frozen=True)
class Wanted:
    """Bounds that a model has to keep; none is no bound.

    Attributes:
        max_loss: points of the metric that may be lost against the dense model.
        speedup: how many times as fast as the dense model, as measured.
        max_bytes: of the weights.
    """

    max_loss: float | None = None
    speedup: float | None = None
    max_bytes: int | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in (self.max_loss, self.speedup, self.max_bytes))

    def __str__(self) -> str:
        text = ", ".join(self._told())
        return f"{text[:1].upper()}{text[1:]}"

    def met(self, one: Result) -> bool:
        """Whether a run keeps every bound; what was not measured keeps none."""
        small = one.bytes is not None and one.bytes <= (self.max_bytes or 0)
        return (
            (self.max_loss is None or one.change >= -self.max_loss)
            and (self.speedup is None or (one.speedup or 0.0) >= self.speedup)
            and (self.max_bytes is None or small)
        )

    def best(self, results: Sequence[Result]) -> Result | None:
        """The one to take: the fewest FLOPs where a loss alone is bounded, else the best quality.

        Args:
            results: of one task and metric.

        Returns:
            None where nothing was asked for, or no run gives it.
        """
        found = [one for one in results if self and self.met(one)]
        key = (lambda one: (-one.flops, one.pruned)) if self._free else _quality
        return max(found, key=key, default=None)

    def why(self) -> str:
        """By what the best one is the best."""
        return "the fewest FLOPs" if self._free else "the best quality"

    @property
    def _free(self) -> bool:
        """Whether nothing bounds what the model costs."""
        return self.speedup is None and self.max_bytes is None

    def _told(self) -> Iterator[str]:
        if self.max_loss is not None:
            yield f"at most {self.max_loss:g} point{'s' * (self.max_loss != 1)} lost"
        if self.speedup is not None:
            yield f"at least {show.times(self.speedup)} as fast"
        if self.max_bytes is not None:
            yield f"at most {show.scaled(self.max_bytes, 'B')}"


def grouped(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results by task, metric and what they were measured on: such values can be compared."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for one in results:
        groups.setdefault((f"{one.task}, {one.metric}", one.examples), []).append(one)
    names = [name for name, _ in groups]
    return {
        f"{name}, {on}" if names.count(name) > 1 else name: own
        for (name, on), own in groups.items()
    }


def _quality(one: Result) -> tuple[float, float]:
    return one.pruned, -one.flops
