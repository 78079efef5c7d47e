"""One of several known sizes for every site: the least summed loss within a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from prunus.errors import PrunusError
from prunus.select._budget import Budget
from prunus.select._cost import Cost
from prunus.select._pool import Least, Pool, extent, steps
from prunus.select.curves import spread
from prunus.site import Site

BINS = 20_000
"""Parts into which a budget is divided, where its costs have no common measure that is larger."""


@dataclass(frozen=True)
class Point:
    """A size that a site may have.

    Attributes:
        name: of what has it.
        units: that stay.
        loss: what it costs in quality.
    """

    name: str
    units: int
    loss: float


def best(
    choices: Mapping[str, Sequence[Point]],
    sites: Mapping[str, Site],
    budget: Budget,
    cost: Cost,
) -> dict[str, Point]:
    """Choose one point for every site (SPDY, Frantar & Alistarh, ICML 2022; ZipLM, 2302.04089).

    Losses are taken to add up. A dynamic program finds the least sum; whatever still fits then is
    put back, best first.

    Args:
        choices: {site: its points}.
        sites: at least those.
        budget: how much stays; its floors and ceilings leave points out.
        cost: its metric; what a site adds must not depend on the others.

    Raises:
        PrunusError: a rule has a density of its own, a floor or ceiling leaves no point of a site,
            or the cheapest points cost more than the budget.
    """
    budget.require_known()
    if budget.scope != "global":
        raise PrunusError(
            f"budget.scope: {budget.scope} says what stays of every site by itself, and leaves"
            " nothing to search for; leave scope out, or name configurations"
        )
    points = _allowed(choices, sites, budget)
    floors = {name: Least(min(point.units for point in own)) for name, own in points.items()}
    pool = Pool(list(points), floors, cost)  # type: ignore[arg-type]
    limit = pool.limit(budget.density, {}, whole=budget.of == "model")
    alone = {name: cost.alone(name) for name in points}
    costs = {name: [alone[name][p.units] for p in own] for name, own in points.items()}
    losses = {name: [point.loss for point in own] for name, own in points.items()}
    left = limit - cost(dict.fromkeys(points, 0))
    chosen = spread(losses, costs, left, BINS)
    _fill(chosen, losses, costs, left)
    return {name: points[name][place] for name, place in chosen.items()}


def _allowed(
    choices: Mapping[str, Sequence[Point]], sites: Mapping[str, Site], budget: Budget
) -> dict[str, list[Point]]:
    rules, found = budget.assign(sites), {}
    for name, own in choices.items():
        rule = rules[name]
        if rule is not None and rule.density is not None:
            raise PrunusError(
                f"budget rule {rule.match!r}: a density of its own is not searched for; use floor"
                " and ceiling, or configurations"
            )
        site, (least, most) = sites[name], extent(sites[name], budget, rule)
        size = site.units // site.run * steps(site, budget)
        found[name] = [p for p in own if least <= p.units <= most and p.units % size == 0]
        if not found[name]:
            raise PrunusError(
                f"site {name!r}: between {least} and {most} of its {site.units} units may stay, in"
                f" steps of {size}, but there are modules of {sorted(p.units for p in own)}; add"
                " densities"
            )
    return found


def _fill(
    chosen: dict[str, int],
    losses: Mapping[str, Sequence[float]],
    costs: Mapping[str, Sequence[Fraction]],
    limit: Fraction,
) -> None:
    """Exchange points for better ones while such still fit, the most gained first."""
    while True:
        slack = limit - sum(costs[name][place] for name, place in chosen.items())
        better = [
            (losses[name][chosen[name]] - loss, name, place)
            for name in chosen
            for place, loss in enumerate(losses[name])
            if loss < losses[name][chosen[name]]
            and costs[name][place] - costs[name][chosen[name]] <= slack
        ]
        if not better:
            return
        _, name, place = max(better)
        chosen[name] = place
