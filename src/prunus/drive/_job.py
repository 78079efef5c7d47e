"""What a drive is given, and the steps that all drives share."""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prunus.anatomy import Anatomy
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.probe import Teacher
from prunus.probe.loss import Batch
from prunus.recover import Repair
from prunus.score import Criterion, score
from prunus.select import Budget, Cost, select
from prunus.site import Site, along

Phase = Callable[[str], AbstractContextManager]
Step = Callable[[str, int, int], None]


def untimed(_: str) -> AbstractContextManager:
    """A phase that nobody times."""
    return nullcontext()


def unseen(_what: str, _done: int, _of: int) -> None:
    """A step that nobody watches."""


@dataclass
class Job:
    """One pruning job.

    Attributes:
        model: the dense model, left as it is.
        sites: what may go.
        batches: calibration data, iterated as often as needed.
        criterion: what matters.
        budget: how much stays.
        cost: the budget's metric.
        repairs: what is mended, in order.
        phase: opens a timed phase by name (score, select, recover).
        step: told of progress: (what, done, of).
    """

    model: nn.Module
    sites: Anatomy
    batches: Iterable[Batch]
    criterion: Criterion
    budget: Budget
    cost: Cost
    repairs: tuple[Repair, ...] = ()
    phase: Phase = untimed
    step: Step = unseen
    student: Any = field(init=False)
    teacher: Teacher = field(init=False)

    def __post_init__(self) -> None:
        """The student begins as a copy of the dense model, the teacher is the dense model."""
        self.student = copy.deepcopy(self.model)
        self.teacher = self.criterion.teacher(self.model, self.batches)

    def score(self, plan: Plan) -> dict[str, Tensor]:
        """Scores of the sites that the plan leaves undecided, under its masks."""
        undecided = {name: site for name, site in self.sites.items() if name not in plan}
        with self.phase("score"), mask(self.student, self.sites, plan):
            return score(self.student, self.batches, undecided, self.criterion, self.teacher)

    def select(self, scores: dict[str, Tensor], given: Plan) -> Plan:
        """The plan for the scored sites under the budget."""
        per_cost = self.criterion.per_cost
        with self.phase("select"):
            return select(scores, self.sites, self.budget, self.cost, given, per_cost=per_cost)

    def readers(self) -> list[Site]:
        """One site for every reader, in forward order.

        Raises:
            PrunusError: a site that no single module reads, which a repair cannot mend.
        """
        found: dict[str, Site] = {}
        for site in self.sites.values():
            if not site.has_inlet:
                raise PrunusError(
                    f"site {site.name!r} of kind {site.kind!r} has no single reader to mend or"
                    " sweep by; use drive: oneshot with recover: []"
                )
            found.setdefault(site.reader, site)
        return list(found.values())

    def recover(self, site: Site, plan: Plan) -> None:
        """Mend the reader of a site under the plan."""
        width = self.student.get_parameter(site.inlet.tensor).shape[site.inlet.axis]
        stays = torch.ones(width, dtype=torch.bool)
        for name, other in self.sites.items():
            if other.reader == site.reader and name in plan:
                stays &= along(other.inlet, plan[name], width)
        with self.phase("recover"), mask(self.student, self.sites, plan):
            for repair in self.repairs:
                repair.repair(self.student, self.model, site, stays, self.batches)
