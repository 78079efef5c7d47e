"""How much stays, and where: from scores and a budget to a plan that meets and fills it."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

from torch import Tensor

from prunus.curve import Curve
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.select._best import Point, best
from prunus.select._blocks import blocks, keep
from prunus.select._budget import Budget, Rule
from prunus.select._cost import Cost, flops, params, units, weights
from prunus.select._pool import Least, Pool, candidate, extent
from prunus.select._rows import rows
from prunus.select._selector import Selector
from prunus.select.greedy import Greedy
from prunus.site import Site

__all__ = [
    "Budget",
    "Cost",
    "Point",
    "Rule",
    "Selector",
    "best",
    "flops",
    "masks",
    "params",
    "require_reach",
    "select",
    "units",
    "weights",
]

Found = Tensor | Curve


def select(
    scores: Mapping[str, Found],
    sites: Mapping[str, Site],
    budget: Budget,
    cost: Cost,
    given: Plan | None = None,
    *,
    per_cost: bool = True,
    selector: Selector | None = None,
    aim: float = 1.0,
) -> Plan:
    """The plan that keeps the best units within the budget, and leaves out none that still fits.

    A selector says how many units each site keeps; then every unit that still fits is put back,
    best first.

    Args:
        scores: per site what the selector reads: [*grid] scores, higher = keep, or a curve of
            losses; only these sites are decided.
        sites: every site the budget speaks of, those of ``given`` included.
        budget: how much stays.
        cost: the metric of the budget, for these sites.
        given: sites that are decided already; their cost counts against the budget.
        per_cost: divide scores by what a unit costs (right for scores that add up to a loss).
        selector: how; greedy where it is left out.
        aim: a factor on the cost that may stay, where the metric was found to be off.

    Raises:
        PrunusError: scores that are not finite or not on the grid, rules that do not fit, or a
            budget below the floors or of unknown density.
    """
    given = given or Plan()
    given.check(sites)
    for name, found in scores.items():
        _sound(found, sites[name])
    return given | masks(
        scores, sites, budget, cost, given,
        per_cost=per_cost, selector=selector or Greedy(), aim=aim,
    )  # fmt: skip


def masks(
    scores: Mapping[str, Found],
    sites: Mapping[str, Site],
    budget: Budget,
    cost: Cost,
    given: Plan,
    *,
    per_cost: bool,
    selector: Selector,
    aim: float = 1.0,
) -> dict[str, Tensor]:
    """What :func:`select` decides, [*grid] bool for every site; very many units where they lie.

    A score of -inf says that a unit is gone already: it cannot stay, whatever the floors.
    """
    budget.require_known()
    for name, own in scores.items():
        _sound(own, sites[name], lowest=-inf)
    rules = budget.assign(sites)
    free = {name: sites[name] for name in sites if name in scores and name not in given}
    curved = any(isinstance(found, Curve) for found in scores.values())
    kept, found = given.counts(), dict[str, Tensor]()
    for share in _shares(sites, free, budget, rules, cost):
        mine = {name: free[name] for name in share.names if name in free}
        if share.by_row:
            own = {n: rows(s, scores[n], share.density, budget, rules[n]) for n, s in mine.items()}
            found, kept = found | own, kept | {n: int(mask.sum()) for n, mask in own.items()}
            continue
        whole = any(budget.step(site.kind) > 1 for site in mine.values())
        fast = not curved and not whole and _apart(mine, selector, share.cost)
        make: Any = blocks if fast else candidate
        prices = {name: float(share.cost.price(name)) for name in mine}
        candidates: dict[str, Any] = {
            name: make(site, scores[name], prices[name] if per_cost else 1.0, budget, rules[name])
            for name, site in mine.items()
        }
        if not fast:
            candidates = {n: selector.judged(own, prices[n]) for n, own in candidates.items()}
        if candidates:
            pool = Pool(share.names, candidates, share.cost, aim)
            limit = pool.limit(share.density, kept, whole=share.whole)
            found |= keep(pool, limit, kept) if fast else _chosen(pool, selector, limit, kept)
            kept |= {name: int(found[name].count_nonzero()) for name in mine}
    return found


def require_reach(sites: Mapping[str, Site], budget: Budget, cost: Cost) -> None:
    """Check that some plan meets a budget, before there are scores.

    Raises:
        PrunusError: floors or patterns leave more than the budget allows, or rules do not fit.
    """
    budget.require_known()
    rules, kept = budget.assign(sites), dict[str, int]()
    for share in _shares(sites, sites, budget, rules, cost):
        mine = {name: sites[name] for name in share.names}
        _apart(mine, Greedy(), share.cost)
        least: Any = {
            name: Least(extent(site, budget, rules[name])[0]) for name, site in mine.items()
        }
        Pool(share.names, least, share.cost).limit(share.density, kept, whole=share.whole)
        kept |= {name: own.least for name, own in least.items()}


@dataclass(frozen=True)
class _Share:
    """Sites that are cut to one density of a metric, of the ``whole`` model's, or in every row."""

    names: list[str]
    density: float
    cost: Cost
    whole: bool = False
    by_row: bool = False


def _shares(
    sites: Mapping[str, Site],
    free: Mapping[str, Site],
    budget: Budget,
    rules: Mapping[str, Rule | None],
    cost: Cost,
) -> Iterator[_Share]:
    """What shares one limit, the rules' own densities first."""
    for members, density, scope in _groups(budget, rules, sites):
        if scope == "global":
            yield _Share(members, density, cost, budget.of == "model")
            continue
        alone = _by_units(members, free, density)
        yield from (_Share([n], density, alone, by_row=scope == "row") for n in members)


def _apart(sites: Mapping[str, Site], selector: Selector, cost: Cost) -> bool:
    """Whether units cost alike in every site whatever else stays, so that a threshold decides.

    Raises:
        PrunusError: they do not, but some are runs of which a few stay.
    """
    apart = (
        cost.metric in ("units", "weights")
        and type(selector) is Greedy
        and all(site.even == 1 for site in sites.values())
    )
    runs = next((site for site in sites.values() if site.among), None)
    if runs is not None and not apart:
        raise PrunusError(
            f"site {runs.name!r}: {runs.among[0]} of {runs.among[1]} neighbours are chosen under"
            " metric: weights with select: greedy"
        )
    return apart


def _chosen(
    pool: Pool, selector: Selector, limit: Fraction, decided: Mapping[str, int]
) -> dict[str, Tensor]:
    kept = selector.kept(pool, limit, decided)
    if selector.fills:
        pool.fill(kept, decided, limit)
    return pool.masks(kept)


def _by_units(names: list[str], sites: Mapping[str, Site], density: float) -> Cost:
    """Each site by itself is cut to a fraction of its units, whatever the metric."""
    for name in names:
        if name in sites and sites[name].units == 1 and density < 1:
            raise PrunusError(
                f"site {name!r} has a single unit: under scope: local a density of {density} would"
                " remove every such site; use scope: global"
            )
    return units({name: sites[name] for name in names if name in sites})


def _groups(
    budget: Budget, rules: Mapping[str, Rule | None], sites: Mapping[str, Site]
) -> list[tuple[list[str], float, str]]:
    """(sites, density, scope) of every budget: the rules' own ones first, then the general one."""
    groups: list[tuple[list[str], float, str]] = []
    rest = list(sites)
    for rule in budget.rules:
        if rule.density is not None:
            members = [name for name in sites if rules[name] is rule]
            groups.append((members, rule.density, rule.scope or budget.scope))
            rest = [name for name in rest if name not in members]
    return [*groups, (rest, budget.density, budget.scope)] if rest else groups


def _sound(found: Found, site: Site, lowest: float = -sys.float_info.max) -> None:
    score = found.scores.reshape(site.shape) if isinstance(found, Curve) else found
    if isinstance(found, Curve) and site.even > 1:
        raise PrunusError(
            f"site {site.name!r}: a curve of losses cannot keep runs of {site.even} units even;"
            " use select: greedy"
        )
    if tuple(score.shape) != site.shape:
        raise PrunusError(
            f"site {site.name!r} has grid {site.shape}; scores are {tuple(score.shape)}"
        )
    if not lowest <= float(score.amin()) <= float(score.amax()) < inf:  # nor where one is NaN
        raise PrunusError(
            f"site {site.name!r}: scores are not finite; is the model or the data broken?"
        )
