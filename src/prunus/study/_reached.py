"""What it took each run to become as good as some value."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from prunus.errors import PrunusError
from prunus.report._trainings import Look, looks
from prunus.study._gathered import Gathered


@dataclass(frozen=True)
class Goal:
    """A value to be reached.

    Attributes:
        what: ``validation``, a loss, or ``quality``.
        name: of the loss, or of the metric.
        value: at most this loss, or at least this quality.
    """

    what: str
    name: str
    value: float

    def met(self, look: Look) -> bool:
        """Whether a look found it."""
        value = getattr(look.point, self.what)
        if value is None:
            return False
        return value <= self.value if self.what == "validation" else value >= self.value

    def __str__(self) -> str:
        return f"{self.name} {self.value:.5g}"


@dataclass(frozen=True)
class Reached:
    """The first look at which a run reached a goal; None where it did not.

    Attributes:
        name: of the run.
        tuning: processor seconds spent on modules before the training.
        shared: by how many configurations these are used.
        look: the first one that found it.
    """

    name: str
    tuning: float
    shared: int
    look: Look | None

    @property
    def training(self) -> float | None:
        """Processor seconds of training until then."""
        return None if self.look is None else self.look.cpu - self.tuning

    @property
    def amortised(self) -> float | None:
        """Processor seconds until then, with this run's share of the tuning."""
        return None if self.training is None else self.training + self.tuning / self.shared


def goal(runs: Sequence[Gathered], value: float | None) -> Goal:
    """What the runs shall reach.

    Args:
        runs: those that were looked at.
        value: of the metric where any look measured it, else of the validation loss; None is the
            highest of the runs' lowest losses, which all of them reach.

    Raises:
        PrunusError: the runs were measured by different metrics.
    """
    if value is None:
        lowest = [min(losses) for own in runs if (losses := _values(own, "validation"))]
        return Goal("validation", "validation loss", max(lowest, default=inf))
    metrics = list(dict.fromkeys(own.metric for own in runs if _values(own, "quality")))
    if len(metrics) > 1:
        raise PrunusError(
            f"reach: the runs were measured by {' and '.join(metrics)}; plot those of one metric"
        )
    if metrics:
        return Goal("quality", metrics[0], value)
    return Goal("validation", "validation loss", value)


def reached(runs: Sequence[Gathered], aim: Goal) -> list[Reached]:
    """When each run reached it, in its last training: before, a model had not its final size."""
    found = []
    for own in runs:
        shared = own.library.configurations if own.library else 1
        first = next(filter(aim.met, looks(own.histories, own.tuning)[-1]), None)
        found.append(Reached(own.name, own.tuning, max(1, shared), first))
    return found


def _values(own: Gathered, what: str) -> list[float]:
    """What the looks at a run's last training found."""
    values = (getattr(point, what) for point in own.histories[-1].points)
    return [value for value in values if value is not None]
