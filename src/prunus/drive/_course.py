"""What goes together in a training: sites under one budget, criterion and schedule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from prunus.anatomy import Anatomy
from prunus.drive._way import on
from prunus.errors import PrunusError
from prunus.probe import TRACES, Trace
from prunus.registry import build
from prunus.schedule import Schedule, Times
from prunus.score import Criterion
from prunus.score._traced import Traced
from prunus.select import Budget, Cost, Rule, require_reach
from prunus.site import Site


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
        """Check that the criterion can be followed while weights change.

        Raises:
            PrunusError: it asks for statistics that only a pass over data gives.
        """
        lacking = sorted(set(self.criterion.reads) - set(TRACES))
        if lacking and not self.criterion.learned:
            raise PrunusError(
                f"score: {type(self.criterion).__name__} needs {', '.join(lacking)} of a pass over"
                " data; in training use movement, soft_movement, l0, snip_momentum, snip, gradient,"
                " block_mask, magnitude or random"
            )
        single = isinstance(self.criterion, Traced) and self.criterion.fine
        for site in self.sites.values():
            if single and len(site.slices) > 1:
                raise PrunusError(
                    f"site {site.name!r}: reduce: max is one of blocks of one weight; use mean or"
                    " sum"
                )
            if site.norms:
                raise PrunusError(
                    f"site {site.name!r}: {site.kind} cross norms, which would count what is masked"
                    " while the network trains; use drive: oneshot or iterative"
                )

    def check(self, model: nn.Module, times: Times, others: Mapping[str, Site]) -> None:
        """Check what would only be noticed late in a training.

        Args:
            model: that is trained.
            times: when masks are chosen.
            others: sites of other courses.

        Raises:
            PrunusError: a site is pruned twice, the budget is out of reach, or the criterion reads
                gradients that there will not be.
        """
        twice = sorted(others.keys() & self.sites.keys())
        if twice:
            raise PrunusError(
                f"site {twice[0]!r} would be pruned twice: let only one entry match it"
            )
        require_reach(self.sites, self.budget, self.cost)
        if isinstance(self.criterion, Traced) or self.criterion.learned:
            self._require_steps(times)
        if isinstance(self.criterion, Traced):
            self._require_gradients(model)

    def _require_steps(self, times: Times) -> None:
        if times.last_due == 0:
            raise PrunusError(
                f"score: {type(self.criterion).__name__} reads gradients, of which there are none"
                " before the first step: give the schedule a warmup, or use magnitude"
            )

    def _require_gradients(self, model: nn.Module) -> None:
        frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
        for name, site in self.sites.items():
            if frozen.issuperset(part.tensor for part in site.weights):
                raise PrunusError(
                    f"score: {type(self.criterion).__name__} reads gradients, but the weights of"
                    f" site {name!r} are frozen: let them learn, leave them out, or use movement or"
                    " magnitude"
                )

    def on(self, way: float) -> Budget:
        """The budget at a fraction of the way."""
        return on(self.budget, self.schedule, way)

    def traces(self, fine: bool = False) -> dict[str, Trace]:
        """A trace for every site, where the criterion reads one.

        Args:
            fine: tell single weights apart, where that does not change what is scored.
        """
        if not isinstance(self.criterion, Traced):
            return {}
        keep, new = self.criterion.fading
        name = self.criterion.reads[0]
        fine = self.criterion.fine or (fine and name != "saliency")
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
