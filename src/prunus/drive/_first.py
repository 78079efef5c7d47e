"""What the ranks of a run take over from the first one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from prunus import ranks
from prunus.curve import Curve
from prunus.edit.shrink import shrink
from prunus.measure.target import correct, paired
from prunus.plan import Plan

if TYPE_CHECKING:
    from prunus.drive._job import Job


def level(found: Mapping[str, Tensor | Curve]) -> None:
    """Make scores and curves the same on every rank, to the last bit."""
    for own in found.values():
        ranks.spread([own.order, own.loss] if isinstance(own, Curve) else [own])


def aim(job: "Job", plan: Plan) -> float:
    """By how much to miss a latency on purpose, so that it is met: predicted / measured."""
    return ranks.number(ranks.by_first(lambda: _measured(job, plan)) or 0.0)


def _measured(job: "Job", plan: Plan) -> float:
    assert job.budget.at is not None
    small = shrink(job.model, plan, job.sites)
    timed = paired(job.model, small, next(iter(job.batches)), job.budget.at)
    return correct(1.0, job.cost(plan.counts()), job.cost({}) / timed.speedup)
