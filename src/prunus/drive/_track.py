"""A course in a training: when it acts, what it has seen, and what of it goes in parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from prunus.drive._course import Course
from prunus.drive._easing import Easing
from prunus.probe import Trace
from prunus.schedule import Times
from prunus.site import Site


@dataclass
class Track:
    """A course in one training.

    Attributes:
        course: what goes.
        times: when.
        easing: blocks that go in parts.
        traces: {site: what its criterion remembers}.
    """

    course: Course
    times: Times
    easing: Easing
    traces: dict[str, Trace]

    @classmethod
    def of(
        cls,
        course: Course,
        model: nn.Module,
        others: Mapping[str, Site],
        span: tuple[int, int | None],
        parts: int,
    ) -> "Track":
        """A course in a training of ``span``: optimizer steps, and those of an epoch.

        Args:
            course: what goes.
            model: that is trained.
            others: sites of other courses.
            span: see above.
            parts: in how many blocks go.

        Raises:
            PrunusError: the two do not fit.
        """
        times = course.schedule.times(*span)
        course.check(model, times, others)
        easing = Easing(parts, times)
        if parts > 1:
            easing.check(course.sites)
        return cls(course, times, easing, course.traces(fine=parts > 1))

    def due(self, done: int) -> bool:
        """Whether masks are chosen after so many steps; learned ones until the training ends."""
        times, on = self.times, self.course.criterion.learned
        return times.way(done) > 0 and times.due(done, beyond=on)

    def look(
        self, done: int, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor | None]
    ) -> None:
        """Look at weights and gradients before the step that follows ``done``."""
        for trace in self.traces.values() if done < self.times.last_due else ():
            if trace.keep or self.times.due(done + 1):
                trace.add(weights, gradients)

    def progress(self, done: int) -> float:
        """How much is gone, of what will be, after so many steps."""
        return self.course.schedule.progress(self.times.way(done))

    def filled(self, done: int) -> bool:
        """Whether a learned mask is filled up to the budget now, whatever its threshold says."""
        return self.times.way(done) == 1 and self.course.budget.density < 1

    def fine(self, name: str, weight: Tensor) -> Tensor:
        """What each weight of a site is worth: its trace, or its size where there is none."""
        trace = self.traces.get(name)
        if trace is not None and trace.fine and trace.value is not None:
            return trace.value
        return weight.detach().abs()

    def remembered(self) -> Iterator[tuple[str, Trace]]:
        """Traces by their names in the state of a pruner."""
        return ((f"trace/{own.name}/{own.site.name}", own) for own in self.traces.values())
