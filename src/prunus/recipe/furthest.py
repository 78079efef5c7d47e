"""How far a model can be pruned: the lowest density that loses little enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from prunus.drive import Drive, Job, finish
from prunus.drive.oneshot import Oneshot
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.recipe._bracket import bisect, met
from prunus.select._amounts import told_points
from prunus.select._least import least
from prunus.task import Difference, Quality, difference

EVALUATIONS = 12
"""How often quality is measured at most, the dense model's included."""

GRAIN = 100
"""Densities are tried in steps of 1 / GRAIN."""

ROOM = 1.1
"""How far above its floors a budget of latency begins: its limit is corrected by what is timed."""


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
        job.score(Plan())
    probes: list[Probe] = []
    best: Furthest | None = None

    def measure(density: float) -> Difference:
        nonlocal best
        again = job.again(job.found, job.evidence, budget=job.budget.settled(density))
        plan = drive.run(again)
        model = finish(again, plan)
        quality = evaluate(model, f"density {density}")
        probes.append(Probe(density, plan, quality, difference(quality, dense)))
        if met(probes[-1].ahead, max_loss):
            best = Furthest(again, plan, model, dense, ())
        return probes[-1].ahead

    bisect(grid, measure, max_loss, EVALUATIONS - 1)
    if best is None:
        raise _nothing(probes, dense, max_loss)
    return replace(best, probes=tuple(probes))


def _nothing(probes: Sequence[Probe], dense: Quality, max_loss: float) -> PrunusError:
    nearest = max(probes, key=lambda probe: probe.ahead.value)
    return PrunusError(
        f"max_loss: none of {len(probes)} densities that were tried keeps {dense.metric} within"
        f" {told_points(max_loss)} of the dense model's {dense.value:.2f} (n = {dense.n}); the best"
        f" is {nearest.ahead} points from it, at density {nearest.density}; allow a greater loss,"
        " take more examples, or a recipe that mends more"
    )
