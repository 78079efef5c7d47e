"""One of several known sizes a site: against all choices, one by one."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.errors import PrunusError
from prunus.select import Budget, Point, best
from prunus.select._cost import Counted
from prunus.site import Site, Slice

MANY = settings(max_examples=120)


def site(name, units, kind="neurons"):
    """A site that nothing lies behind."""
    return Site(name, kind, (units,), (Slice(name, (0,), (1,)),))


def cost_of(sizes, full, rest):
    """A cost of so much a whole site, and some that nothing can save."""
    terms = tuple(((name,), Fraction(full[name])) for name in sizes)
    return Counted("params", (*terms, ((), Fraction(rest))), sizes)


@st.composite
def puzzles(draw, odd=False):
    """(points by site, sites, cost, density); odd costs have no common measure that is coarse."""
    sizes = {name: draw(st.integers(1, 9)) for name in "abcd"[: draw(st.integers(1, 4))]}
    prices = st.integers(10**7, 10**9) if odd else st.integers(1, 12)
    full = {name: draw(prices) * (1 if odd else size) for name, size in sizes.items()}
    points = {
        name: [Point("", size, 0.0)]
        + [
            Point(f"{name}{units}", units, draw(st.floats(0, 8)))
            for units in draw(st.lists(st.integers(0, size - 1), unique=True, max_size=3))
        ]
        for name, size in sizes.items()
    }
    density = draw(st.integers(5, 100)) / 100
    rest = draw(prices) if draw(st.booleans()) else 0
    sites = {name: site(name, units) for name, units in sizes.items()}
    return points, sites, cost_of(sizes, full, rest), density


def choices(points, cost):
    """(summed loss, cost) of all choices."""
    for row in product(*points.values()):
        kept = {name: point.units for name, point in zip(points, row, strict=True)}
        yield sum(point.loss for point in row), cost._sum(cost.terms, kept)


def limit_of(cost, density, of):
    bare = cost._sum(cost.terms, dict.fromkeys(cost.sizes, 0))
    share = Fraction(density).limit_denominator(10**9)
    whole = cost._sum(cost.terms, {})
    return share * whole if of == "model" else bare + share * (whole - bare)


def chosen(points, sites, cost, budget):
    """(summed loss, exact cost) of what is chosen; None where even the least is too much."""
    try:
        found = best(points, sites, budget, cost)
    except PrunusError:
        return None
    assert list(found) == list(points)
    assert all(found[name] in points[name] for name in points)
    kept = {name: point.units for name, point in found.items()}
    return sum(point.loss for point in found.values()), cost._sum(cost.terms, kept)


@MANY
@given(puzzles(), st.sampled_from(["sites", "model"]))
def test_no_choice_within_the_budget_loses_less(puzzle, of):
    points, sites, cost, density = puzzle
    budget = Budget(density=density, metric="params", of=of)
    limit = limit_of(cost, density, of)
    within = [loss for loss, spent in choices(points, cost) if spent <= limit]
    found = chosen(points, sites, cost, budget)
    if found is None:
        assert not within
        return
    assert found[1] <= limit
    assert found[0] == pytest.approx(min(within), abs=1e-9)


@MANY
@given(puzzles(odd=True))
def test_costs_without_a_common_measure_stay_within_and_near_the_best(puzzle):
    points, sites, cost, density = puzzle
    limit = limit_of(cost, density, "sites")
    found = chosen(points, sites, cost, Budget(density=density, metric="params"))
    every = list(choices(points, cost))
    if found is None:
        # rounding takes at most a bin a site
        assert not any(spent <= limit * Fraction(999, 1000) for _, spent in every)
        return
    loss, spent = found
    assert spent <= limit
    assert loss >= min(own for own, price in every if price <= limit) - 1e-9
    tight = [own for own, price in every if price <= limit * Fraction(999, 1000)]
    if tight:
        assert loss <= min(tight) + 1e-9


@MANY
@given(st.one_of(puzzles(), puzzles(odd=True)))
def test_it_is_filled(puzzle):
    points, sites, cost, density = puzzle
    budget = Budget(density=density, metric="params")
    try:
        found = best(points, sites, budget, cost)
    except PrunusError:
        return
    limit = limit_of(cost, density, "sites")
    kept = {name: point.units for name, point in found.items()}
    for name, own in points.items():
        for point in own:
            if point.loss < found[name].loss:
                assert cost._sum(cost.terms, {**kept, name: point.units}) > limit


def test_floors_and_ceilings_leave_points_out():
    points = {
        name: [Point("", 8, 0.0), *(Point(str(n), n, 8.0 - n) for n in (2, 4, 6))] for name in "ab"
    }
    sites = {name: site(name, 8) for name in "ab"}
    cost = cost_of({"a": 8, "b": 8}, {"a": 8, "b": 8}, 0)

    def units(**said):
        found = best(points, sites, Budget(metric="params", **said), cost)
        return [point.units for point in found.values()]

    assert sum(units(density=0.5)) == 8
    assert units(density=0.75, ceiling=0.75) == [6, 6]
    assert units(density=0.5, floor=0.5) == [4, 4]
    assert units(density=0.5, rules=[{"match": "a", "ceiling": 0.25}]) == [2, 6]
    assert units(density=0.8, rules=[{"match": "b", "floor": 1}]) == [4, 8]
    assert units(density=1.0) == [8, 8]
    assert units(density=0.8, round_to=4) in ([4, 8], [8, 4])


def test_what_leaves_nothing_to_choose_is_told():
    points, sites = {"a": [Point("", 8, 0.0), Point("4", 4, 1.0)]}, {"a": site("a", 8)}
    cost = cost_of({"a": 8}, {"a": 8}, 2)

    def refused(match, **said):
        with pytest.raises(PrunusError, match=match):
            best(points, sites, Budget(metric="params", **said), cost)

    refused("there are modules of .4, 8.; add densities", density=0.9, ceiling=0.4)
    refused("allows 2 params, but the floors alone", density=0.1)
    refused("a density of its own", density=0.5, rules=[{"match": "a", "density": 0.5}])
    refused("matches no site", density=0.5, rules=[{"match": "x", "ceiling": 0.5}])
    refused("budget.scope: local", density=0.5, scope="local")
    refused("max_loss", max_loss="1pt")
