"""How far down a budget can go: what stays however low its density is."""

from collections.abc import Mapping

import torch

from prunus.errors import PrunusError
from prunus.select import Budget, Cost, select
from prunus.select._pool import candidate
from prunus.site import Site


def shared(sites: Mapping[str, Site], budget: Budget) -> list[str]:
    """The sites that have no budget of their own by a rule.

    Raises:
        PrunusError: there is none, so that the general density says nothing.
    """
    found = [
        name for name, rule in budget.assign(sites).items() if rule is None or rule.density is None
    ]
    if not found:
        raise PrunusError(
            "budget: the rules give every site a density of its own, which leaves nothing to be"
            " found; take one rule's density away"
        )
    return found


def floors(sites: Mapping[str, Site], budget: Budget, cost: Cost) -> dict[str, int]:
    """Units of every site that stay however low the density is; rules' own densities stay.

    Raises:
        PrunusError: rules do not fit, or give every site a density of its own.
    """
    even = {name: torch.zeros(site.shape) for name, site in sites.items()}
    kept = select(even, sites, budget.settled(1.0), cost).counts()
    rules = budget.assign(sites)
    return kept | {
        name: candidate(sites[name], even[name], 1.0, budget, rules[name]).least
        for name in shared(sites, budget)
    }


def least(sites: Mapping[str, Site], budget: Budget, cost: Cost) -> float:
    """The lowest density that a budget can have.

    Raises:
        PrunusError: rules do not fit, or give every site a density of its own.
    """
    kept, names = floors(sites, budget, cost), shared(sites, budget)
    if budget.scope != "global":
        return max(kept[name] / sites[name].units for name in names)
    if budget.of == "model":
        return cost(kept) / cost({})
    ruled = {name: count for name, count in kept.items() if name not in names}
    bare, full = cost({**ruled, **dict.fromkeys(names, 0)}), cost(ruled)
    return (cost(kept) - bare) / (full - bare)
