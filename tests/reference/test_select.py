"""Selection against a brute-force version: walk thresholds, then take back what still fits."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.anatomy import anatomy
from prunus.edit import shrink
from prunus.plan import Plan
from prunus.select import Budget, select
from prunus.select.cost import Cost, params
from prunus.site import Site, Slice
from tests.tiny import tiny


def sites_of(sizes):
    """Sites that nothing lies behind, one unit a row of one tensor."""
    return {
        name: Site(name, "neurons", (size,), (Slice(name, (0,), (1,)),))
        for name, size in sizes.items()
    }


def additive(prices, sizes):
    """A cost of so much a unit, and some that nothing can save."""
    terms = tuple(((name,), Fraction(price * sizes[name])) for name, price in prices.items())
    return Cost("params", (*terms, ((), Fraction(17))), sizes)


def brute(scores, price, cost, limit):
    """Units that stay: remove the least score / price until the limit is met, then take back.

    Every step looks at the cost of the plan as a whole; ``cost`` maps a set of kept
    (site, unit) pairs to what they cost.
    """
    units = [(name, unit) for name, values in scores.items() for unit in range(len(values))]
    ranked = sorted(units, key=lambda unit: scores[unit[0]][unit[1]] / price[unit[0]])
    keep = set(units)
    gone = []
    while cost(keep) > limit:
        gone.append(ranked[len(gone)])
        keep.discard(gone[-1])
    while True:
        fits = [
            unit for unit in reversed(gone) if unit not in keep and cost(keep | {unit}) <= limit
        ]
        if not fits:
            return keep
        keep.add(fits[0])


def as_set(plan):
    return {(name, unit) for name, mask in plan.items() for unit, stays in enumerate(mask) if stays}


@given(st.data())
@settings(max_examples=60)
def test_additive_costs(data):
    sizes = data.draw(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 5), min_size=1))
    prices = {name: data.draw(st.integers(1, 9)) for name in sizes}
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    scores = {name: torch.rand(size, generator=generator) for name, size in sizes.items()}
    density = data.draw(st.integers(1, 100)) / 100
    cost = additive(prices, sizes)
    plan = select(scores, sites_of(sizes), Budget(density=density, metric="params"), cost)
    total = sum(prices[name] * size for name, size in sizes.items())
    expected = brute(
        scores, prices, lambda keep: sum(prices[name] for name, _ in keep),
        Fraction(str(density)) * total,
    )  # fmt: skip
    assert as_set(plan) == expected


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.3, 0.6, 0.85])
def test_coupled_costs_counted_on_shrunk_models(seed, density):
    """Heads, neurons and sublayers cost what each other leaves; counted by really cutting."""
    model = tiny("bert", heads=2, layers=1, intermediate_size=3)
    sites = anatomy(model).of("heads", "neurons", "sublayers")
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(site.shape, generator=generator) for name, site in sites.items()}
    counted = {}

    def cost(keep):
        keep = frozenset(keep)
        if keep not in counted:
            plan = {
                name: torch.tensor([(name, unit) in keep for unit in range(site.units)])
                for name, site in sites.items()
            }
            small = shrink(model, Plan(plan))
            counted[keep] = sum(p.numel() for p in small.parameters())
        return counted[keep]

    full = {(name, unit) for name, site in sites.items() for unit in range(site.units)}
    price = {name: cost(full) - cost(full - {(name, 0)}) for name in sites}
    limit = cost(set()) + Fraction(str(density)) * (cost(full) - cost(set()))
    plan = select(scores, sites, Budget(density=density, metric="params"), params(sites))
    assert as_set(plan) == brute(scores, price, cost, limit)
