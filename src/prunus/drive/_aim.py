"""Under a budget of latency, what is chosen is measured, and chosen again."""

from typing import Any

from prunus.edit.shrink import shrink
from prunus.measure.target import correct, paired
from prunus.plan import Plan


def aim(job: Any, plan: Plan) -> float:
    """By how much to miss a latency on purpose, so that it is met: predicted / measured.

    Args:
        job: with a budget of latency.
        plan: what it predicts to meet it.
    """
    small = shrink(job.model, plan, job.sites)
    timed = paired(job.model, small, next(iter(job.batches)), job.budget.at)
    return correct(1.0, job.cost(plan.counts()), job.cost({}) / timed.speedup)
