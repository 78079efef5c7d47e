"""How far a model can be pruned: the lowest density that loses little enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel

from prunus.drive import Drive, Job, finish, known, pack, unpack
from prunus.drive.oneshot import Oneshot
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.recipe._bracket import bisect, met
from prunus.safe import Kept
from prunus.select._amounts import told_points
from prunus.select._least import least
from prunus.task import Difference, Quality, difference

EVALUATIONS = 12
"""How often quality is measured at most, the dense model's included."""

GRAIN = 100
"""Densities are tried in steps of 1 / GRAIN."""

ROOM = 1.1
"""How far above its floors a budget of latency begins: its limit is corrected by what is timed."""


BEST = "best"


@dataclass(frozen=True)
class Probe:
    """One density that was tried.

    Attributes:
        density: in the budget's own terms.
        plan: what stays.
        quality: of the mended model.
        ahead: how far that is ahead of the dense model, example by example.
    """

    density: float
    plan: Plan
    quality: Quality
    ahead: Difference


@dataclass(frozen=True)
class Furthest:
    """The most pruned model that loses little enough.

    Attributes:
        job: the job that made it.
        plan: what stays.
        model: the model.
        dense: the dense model's quality where the search measured.
        probes: everything that was tried, in order.
    """

    job: Job
    plan: Plan
    model: PreTrainedModel
    dense: Quality
    probes: tuple[Probe, ...]


def densities(job: Job) -> list[float]:
    """What a search may try, rising.

    Raises:
        PrunusError: the budget's rules do not fit, or its floors leave nothing to be found.
    """
    low = least(job.sites, job.budget, job.cost) * (ROOM if job.cost.metric == "latency" else 1)
    found = [step / GRAIN for step in range(1, GRAIN) if step / GRAIN >= low]
    if not found:
        raise PrunusError(
            f"budget: what cannot be cut leaves a density of {low:.3f} of the {job.cost.metric},"
            " so that there is nothing to search; lower the floors, or let more kinds of sites go"
        )
    return found


def furthest(
    job: Job, drive: Drive, evaluate: Callable[[PreTrainedModel, str], Quality], max_loss: float
) -> Furthest:
    """Prune as far as a bounded loss allows, with at most :data:`EVALUATIONS` evaluations.

    The scoring pass of a one-shot drive is made once; drives that score as they go run anew for
    every density. One model is kept beside the one that is being made.

    Args:
        job: not yet run; of its budget all but the density counts.
        drive: runs it.
        evaluate: the quality of a model (and what to call it) on examples that neither the scores
            nor the report sees.
        max_loss: how many points of the metric may be lost.

    Raises:
        PrunusError: no density that was tried loses little enough, or a run fails.
    """
    grid, dense = densities(job), evaluate(job.model, "dense")
    if isinstance(drive, Oneshot):
        known(job)
    search = _Search(job, drive, evaluate, dense, max_loss)
    bisect(grid, search.measure, max_loss, EVALUATIONS - 1)
    if search.best is None:
        raise _nothing(search.probes, dense, max_loss)
    return search.found(*search.best)


@dataclass
class _Search:
    """A search as it goes on; what it tried is kept, and of models the best one."""

    job: Job
    drive: Drive
    evaluate: Callable[[PreTrainedModel, str], Quality]
    dense: Quality
    max_loss: float
    probes: list[Probe] = field(default_factory=list)
    best: tuple[Job, Plan, PreTrainedModel | None] | None = None

    def measure(self, density: float) -> Difference:
        """How far a density is ahead of the dense model."""
        job, name = self.job, f"density {density}"
        again = job.again(
            job.found, job.evidence,
            budget=job.budget.settled(density), safe=job.safe.within(name),
        )  # fmt: skip
        kept = job.safe.get(name)
        plan, model = self._made(again, name) if kept is None else (Plan(kept.tensors), None)
        quality = self.evaluate(model or job.model, name)  # without a model it is kept as well
        ahead = difference(quality, self.dense)
        if met(ahead, self.max_loss):
            self.best = again, plan, model
            if model is not None:
                job.safe.put(BEST, pack(again, plan))
        if kept is None:
            again.safe.drop()
            job.safe.put(name, Kept(None, plan))
        self.probes.append(Probe(density, plan, quality, ahead))
        return ahead

    def found(self, job: Job, plan: Plan, model: PreTrainedModel | None) -> Furthest:
        """What came of it."""
        kept = self.job.safe.get(BEST) if model is None else None
        if kept is not None:
            plan, model = unpack(job, kept)
        assert model is not None
        return Furthest(job, plan, model, self.dense, tuple(self.probes))

    def _made(self, job: Job, name: str) -> tuple[Plan, PreTrainedModel]:
        self.job.safe.reseed(name)
        plan = self.drive.run(job)
        return plan, finish(job, plan)


def _nothing(probes: Sequence[Probe], dense: Quality, max_loss: float) -> PrunusError:
    nearest = max(probes, key=lambda probe: probe.ahead.value)
    return PrunusError(
        f"max_loss: none of {len(probes)} densities that were tried keeps {dense.metric} within"
        f" {told_points(max_loss)} of the dense model's {dense.value:.2f} (n = {dense.n}); the best"
        f" is {nearest.ahead} points from it, at density {nearest.density}; allow a greater loss,"
        " take more examples, or a recipe that mends more"
    )
