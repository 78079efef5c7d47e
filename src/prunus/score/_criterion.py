"""The contract of a criterion, and the pass that feeds it."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from prunus.curve import Curve
from prunus.errors import PrunusError
from prunus.probe import Directions, Evidence, Teacher, probe
from prunus.probe.loss import Batch, Loss, labelled
from prunus.registry import Part
from prunus.site import Site


class Criterion(Part):
    """Scores units: higher = keep.

    A criterion names the statistics that it ``reads`` and the ``loss`` whose gradient it wants;
    :meth:`score` is then a pure function of them, and :meth:`scores` what units are ranked by.

    Attributes:
        reads: names of statistics in ``prunus.probe``.
        loss: "labels", "teacher" (divergence from the dense model), or None.
        per_cost: whether scores add up to a loss, so that they are weighed against cost.
        learned: whether scores are parameters, which only a training brings about.
        normalize: divide each site's scores by their l1 norm (sum of sizes) or l2 norm.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    loss: ClassVar[Literal["labels", "teacher"] | None] = None
    per_cost: ClassVar[bool] = True
    learned: ClassVar[bool] = False
    normalize: Literal["none", "l1", "l2"] = "none"

    @property
    def adds_up(self) -> bool:
        """Whether scores, as they are set up, add up to a loss; normalised they only rank."""
        return self.per_cost and self.normalize == "none"

    def require_curves(self) -> None:
        """Check that scores add up to a loss, so that there are curves of losses.

        Raises:
            PrunusError: they only rank units.
        """
        if not self.adds_up:
            raise PrunusError(
                f"score: {type(self).__name__.lower()} only ranks units, its scores do not add up"
                " to a loss that select: curves could split a budget by (normalised scores never"
                " do); use select: greedy"
            )

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid]: how much each unit of a site matters."""
        raise NotImplementedError

    def scores(self, evidence: Evidence) -> Tensor:
        """[*grid]: the scores, divided by their norm where that is asked for."""
        found = self.score(evidence)
        if self.normalize == "none":
            return found
        size = torch.linalg.vector_norm(found.double(), 1 if self.normalize == "l1" else 2)
        return found / size.to(found) if size else found

    def curve(self, evidence: Evidence) -> Curve:
        """The loss as a site's units go: sums of scores, unless a criterion knows better."""
        return Curve.of(self.score(evidence))

    def teacher(self, model: nn.Module, batches: Iterable[Batch]) -> Teacher:
        """The dense model as a teacher, at this criterion's temperature if it has one."""
        return Teacher(model, getattr(self, "temperature", 1.0), batches)

    def target(self, teacher: Teacher | None) -> Loss | None:
        """The loss to differentiate."""
        return {"labels": labelled, "teacher": teacher, None: None}[self.loss]

    @property
    def directions(self) -> Directions:
        """What curvature is taken of, where that is read."""
        return Directions()


def look(
    model: nn.Module,
    batches: Iterable[Batch],
    sites: Mapping[str, Site],
    criterion: Criterion,
    teacher: Teacher | None = None,
    also: Iterable[str] = (),
) -> dict[str, Evidence]:
    """The evidence that a criterion asks for.

    Args:
        model: the model to score, as it is now.
        batches: calibration data; criteria that only look at weights never touch it.
        sites: what to score.
        criterion: how.
        teacher: the dense model's answers, for criteria that are measured against it.
        also: more statistics, for who comes after.

    Raises:
        PrunusError: the criterion is learnt while a network trains.
    """
    if criterion.learned:
        raise PrunusError(
            f"score: {type(criterion).__name__} is learnt while the network trains; use drive:"
            " gradual, or a criterion that one pass over data suffices for"
        )
    if criterion.loss == "teacher" and teacher is None:
        teacher = criterion.teacher(model, batches)
    reads = dict.fromkeys([*criterion.reads, *also])
    return probe(model, batches, sites, reads, criterion.target(teacher), criterion.directions)


def score(
    model: nn.Module,
    batches: Iterable[Batch],
    sites: Mapping[str, Site],
    criterion: Criterion,
    teacher: Teacher | None = None,
) -> dict[str, Tensor]:
    """Scores of every unit of every site: {site: [*grid]}, higher = keep; see :func:`look`."""
    seen = look(model, batches, sites, criterion, teacher)
    return {name: criterion.scores(evidence) for name, evidence in seen.items()}
