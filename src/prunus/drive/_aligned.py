"""Counts that the machine likes: what ``round_to`` says of each kind of sites."""

import json
from functools import partial
from typing import Any

from prunus import ranks
from prunus.anatomy import Anatomy
from prunus.drive._watch import Step
from prunus.errors import unknown
from prunus.measure.alignment import alignment
from prunus.probe.loss import Batch
from prunus.select import Budget
from prunus.select._budget import At


def aligned(
    budget: Budget, model: Any, sites: Anatomy, batch: Batch, length: int | None, step: Step
) -> Budget:
    """The budget with its ``round_to: auto`` measured; others as they are.

    Args:
        budget: how much may stay.
        model: whose time is measured.
        sites: what may go.
        batch: its inputs.
        length: tokens of the sample that is timed, where the budget speaks of no call.
        step: told of progress.

    Raises:
        PrunusError: ``round_to`` speaks of a kind that the sites do not have, or see
            :func:`prunus.measure.alignment.alignment`.
    """
    if isinstance(budget.round_to, dict):
        kinds = {site.kind for site in sites.values()}
        for kind in budget.round_to:
            if kind not in kinds:
                raise unknown("kind of round_to", kind, kinds)
    if budget.round_to != "auto":
        return budget
    at = budget.at or At(batch=1, length=length or 1)
    own = ranks.by_first(lambda: alignment(model, sites, batch, at, partial(step, "time widths")))
    found = json.loads(ranks.shared(json.dumps(own).encode()))
    return budget.model_copy(update={"round_to": found})
