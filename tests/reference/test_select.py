"""Selection against brute force: thresholds walked one by one, all subsets tried."""

from fractions import Fraction
from itertools import chain, combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.anatomy import anatomy
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.registry import build
from prunus.select import Budget, select
from prunus.select._cost import Counted, params
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
    return Counted("params", (*terms, ((), Fraction(17))), sizes)


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


def drawn(data, prices):
    """Sites, their scores (ties among them) and a budget: (scores, {site: price}, density)."""
    names = data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    price = {name: data.draw(st.sampled_from(prices)) for name in names}
    ties = data.draw(st.booleans())
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    scores = {}
    for name in names:
        size = data.draw(st.integers(1, 4))
        values = torch.rand(size, generator=generator).double()
        scores[name] = (values * 4).ceil() if ties else values
    return scores, price, data.draw(st.integers(1, 100)) / 100


def chosen(selector, scores, price, density):
    """(what a selector keeps, all units, what they may cost)."""
    sizes = {name: len(values) for name, values in scores.items()}
    cost = additive(price, sizes)
    plan = select(
        scores, sites_of(sizes), Budget(density=density, metric="params"), cost,
        selector=build("select", selector),
    )  # fmt: skip
    units = [(name, unit) for name, size in sizes.items() for unit in range(size)]
    total = sum(price[name] for name, _ in units)
    return as_set(plan), units, Fraction(str(density)) * total


@given(st.data())
def test_a_threshold_is_walked_up_until_what_is_above_fits(data):
    scores, price, density = drawn(data, [1, 2, 3, 7])
    found, units, limit = chosen("threshold", scores, price, density)
    worth = {(name, unit): scores[name][unit] / price[name] for name, unit in units}
    for threshold in sorted(worth.values()):
        keep = {unit for unit in units if worth[unit] > threshold}
        if sum(price[name] for name, _ in keep) < limit:
            break
    assert found == keep


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_of_all_subsets_that_fit_a_knapsack_is_worth_most(data):
    prices = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=2))
    scores, price, density = drawn(data, prices)
    found, units, limit = chosen("knapsack", scores, price, density)

    def spent(keep):
        return sum(price[name] for name, _ in keep)

    def worth(keep):
        return sum(float(scores[name][unit]) for name, unit in keep)

    subsets = chain.from_iterable(combinations(units, size) for size in range(len(units) + 1))
    best = max(worth(keep) for keep in subsets if spent(keep) <= limit)
    assert spent(found) <= limit
    assert worth(found) == pytest.approx(best, rel=1e-12)


def test_a_knapsack_may_keep_no_head_at_all():
    scores = {"heads": torch.tensor([1.0, 1.0]), "neurons": torch.full((6,), 0.9)}
    found, _, _ = chosen("knapsack", scores, {"heads": 5, "neurons": 1}, 0.4)
    assert {name for name, _ in found} == {"neurons"}
    assert len(found) == 6


class Jumps(Counted):
    """A cost that is flat but for one jump."""

    def alone(self, site):
        return [Fraction(0), Fraction(2), *[Fraction(3)] * (self.sizes[site] - 1)]


def test_a_knapsack_knows_what_it_cannot_split():
    scores = {name: torch.rand(3) for name in "abc"}
    with pytest.raises(PrunusError, match=r"two costs; in params these cost 1 .a., 2 .b., 3 .c."):
        chosen("knapsack", scores, {"a": 1, "b": 2, "c": 3}, 0.5)
    model = tiny("bert", layers=1)
    sites = anatomy(model).of("heads", "sublayers")
    scores = {name: torch.ones(site.shape) for name, site in sites.items()}
    budget, knapsack = Budget(density=0.5, metric="params"), build("select", "knapsack")
    with pytest.raises(PrunusError, match="depends on how many units"):
        select(scores, sites, budget, params(sites), selector=knapsack)
    jumps = Jumps("params", ((("a",), Fraction(3)),), {"a": 3})
    with pytest.raises(PrunusError, match="those of 'a' cost 0 to 2: use select: curves"):
        select({"a": torch.rand(3)}, sites_of({"a": 3}), budget, jumps, selector=knapsack)
