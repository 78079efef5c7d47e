"""What goes together in a training: sites under one budget, criterion and schedule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.anatomy import Anatomy
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.probe import TRACES, Trace
from prunus.registry import build
from prunus.schedule import Schedule
from prunus.score import Criterion
from prunus.score._traced import Traced
from prunus.select import Budget, Cost, Rule, masks
from prunus.select.greedy import Greedy


@dataclass(frozen=True)
class Course:
    """Sites that share a budget, a criterion and a schedule.

    Attributes:
        sites: what may go.
        criterion: what matters.
        schedule: how the density falls.
        budget: how much stays in the end.
        cost: the budget's metric.
    """

    sites: Anatomy
    criterion: Criterion
    schedule: Schedule
    budget: Budget
    cost: Cost

    def __post_init__(self) -> None:
        """Check that the criterion can be followed while weights change, and the budget be met.

        Raises:
            PrunusError: the criterion asks for statistics that only a pass over data gives, or
                floors and patterns leave more than the budget.
        """
        lacking = sorted(set(self.criterion.reads) - set(TRACES))
        if lacking:
            raise PrunusError(
                f"score: {type(self.criterion).__name__} needs {', '.join(lacking)} of a pass over"
                " data; in training use snip_momentum, snip, gradient, block_mask, magnitude or"
                " random"
            )
        for site in self.sites.values():
            if site.norms:
                raise PrunusError(
                    f"site {site.name!r}: {site.kind} cross norms, which would count what is masked"
                    " while the network trains; use drive: oneshot or iterative"
                )
        self.choose({name: torch.zeros(site.shape) for name, site in self.sites.items()}, 0.0)

    def choose(self, scores: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
        """[*grid] masks of what stays by scores at a density, the budget's own or above.

        Raises:
            PrunusError: the budget cannot be met.
        """
        return masks(
            scores, self.sites, self.budget.settled(max(self.budget.density, density)), self.cost,
            Plan(), per_cost=self.criterion.per_cost, selector=Greedy(),
        )  # fmt: skip

    def traces(self) -> dict[str, Trace]:
        """A trace for every site, where the criterion reads one."""
        if not isinstance(self.criterion, Traced):
            return {}
        keep, new = self.criterion.fading
        name, fine = self.criterion.reads[0], self.criterion.fine
        return {n: Trace(site, name, keep, new, fine) for n, site in self.sites.items()}


def courses(
    sites: Anatomy, criterion: Criterion, schedule: Schedule, budget: Budget, cost: Cost
) -> Iterator[Course]:
    """One course for every rule with a density of its own, and one for all other sites.

    Args:
        sites: what may go.
        criterion: of rules that name none, and of the others.
        schedule: likewise.
        budget: how much stays.
        cost: the budget's metric.

    Raises:
        PrunusError: see :meth:`prunus.select.Budget.assign`, or a criterion that needs a pass.
    """
    ruled = budget.assign(sites)
    rest = [name for name, rule in ruled.items() if rule is None or rule.density is None]
    for rule in budget.rules:
        if rule.density is None:
            continue
        own = build("score", rule.score or criterion), build("schedule", rule.schedule or schedule)
        mine = sites.only(name for name, one in ruled.items() if one is rule)
        yield Course(mine, *own, _own_budget(budget, rule), cost)
    if rest:
        shared = tuple(rule for rule in budget.rules if rule.density is None)
        left = budget.model_copy(update={"rules": shared})
        yield Course(sites.only(rest), criterion, schedule, left, cost)


def _own_budget(budget: Budget, rule: Rule) -> Budget:
    said = ("density", "scope", "floor", "ceiling")
    own = {key: getattr(rule, key) for key in said if getattr(rule, key) is not None}
    return budget.model_copy(update={**own, "rules": ()})
