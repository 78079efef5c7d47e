"""Selection among very many units, and in runs, against loops over a sorted list."""

from fractions import Fraction
from math import ceil, floor, inf, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.anatomy import plain
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.select import (
    Budget,
    Rule,
    _blocks,
    masks,
    params,
    require_reach,
    select,
    units,
    weights,
)
from prunus.select._blocks import Units, best
from prunus.select._runs import joined, runs_of
from prunus.select.greedy import Greedy
from prunus.site import Site, Slice

SORTS = {
    "any": lambda n, g: torch.randn(n, generator=g),
    "ties": lambda n, g: torch.randint(3, (n,), generator=g).float(),
    "constant": lambda n, g: torch.ones(n),
    "zeros and more": lambda n, g: torch.rand(n, generator=g) * (torch.rand(n, generator=g) < 0.3),
    "huge": lambda n, g: torch.rand(n, generator=g) * 1e30,
    "double": lambda n, g: torch.randn(n, generator=g).double(),
}


def keys_of(sort, count, seed, gone):
    """Keys of a sort, some of them gone."""
    generator = torch.Generator().manual_seed(seed)
    keys = SORTS[sort](count, generator)
    return keys.masked_fill(torch.rand(count, generator=generator) < gone, -inf)


def sorted_best(pool, limit):
    """The definition: least of every site, then the best of all until one does not fit, then more.

    Equal keys stay in the order of sites and units.
    """
    orders = [
        sorted(range(len(u.keys)), key=lambda i, u=u: -float(u.keys[i])) for u in pool
    ]  # fmt: skip
    counts = [u.least for u in pool]
    left = limit - sum(u.least * u.size for u in pool)
    ranked = [
        (-float(u.keys[unit]), place, rank)
        for place, (u, order) in enumerate(zip(pool, orders, strict=True))
        for rank, unit in enumerate(order)
        if u.least <= rank < u.most
    ]
    for _, place, _ in sorted(ranked):
        if pool[place].size > left:
            break
        counts[place] += 1
        left -= pool[place].size
    for place, u in enumerate(pool):
        while counts[place] < u.most and u.size <= left:
            counts[place] += 1
            left -= u.size
    stays = [torch.zeros(len(u.keys), dtype=torch.bool) for u in pool]
    for own, order, count in zip(stays, orders, counts, strict=True):
        own[order[:count]] = True
    return stays


@st.composite
def pools(draw):
    """Sites of any lengths, sizes and bounds, and a limit that their floors fit in."""
    pool = []
    for _ in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, 40))
        gone = draw(st.sampled_from([0, 0, 0.3, 0.9, 1]))
        keys = keys_of(draw(st.sampled_from(sorted(SORTS))), count, draw(st.integers(0, 999)), gone)
        there = int((keys > -inf).sum())
        low = draw(st.sampled_from([0, 0, draw(st.integers(0, there))]))
        high = draw(st.sampled_from([there, there, draw(st.integers(low, there))]))
        pool.append(Units(keys, draw(st.sampled_from([1, 1, 2, 7])), low, high))
    floors = sum(u.least * u.size for u in pool)
    everything = sum(u.most * u.size for u in pool)
    return pool, draw(st.integers(floors, everything + 3))


@pytest.mark.parametrize("few", [10**6, 60, 20], ids="sampled above {}".format)
@given(pools())
@settings(max_examples=150)
def test_the_best_units_stay_and_all_that_fits(few, drawn):
    pool, limit = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_blocks, "FEW", few)
        patch.setattr(_blocks, "MARGIN", 0.1)
        found = best(pool, limit)
    for own, expected in zip(found, sorted_best(pool, limit), strict=True):
        assert torch.equal(own, expected)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.98])
def test_a_sample_narrows_the_search_down(sort, share, monkeypatch):
    monkeypatch.setattr(_blocks, "FEW", 2**12)
    monkeypatch.setattr(_blocks, "MARGIN", 0.05)  # of a smaller sample
    tried = []
    narrowed = _blocks._narrowed
    monkeypatch.setattr(
        _blocks, "_narrowed", lambda *args: (tried.append(b) or b for b in narrowed(*args))
    )
    pool = [
        _blocks._units(keys_of(sort, 20_000, seed, 0.2), 1, 0, 20_000) for seed in range(3)
    ]  # fmt: skip
    limit = int(share * sum(u.most for u in pool))
    for own, expected in zip(best(pool, limit), sorted_best(pool, limit), strict=True):
        assert torch.equal(own, expected)
    assert len(tried) == 1
    if sort in ("any", "huge", "double"):
        assert sum(map(len, tried[0].inside)) < 0.15 * 60_000


def test_a_sample_that_misses_is_noticed(monkeypatch):
    monkeypatch.setattr(_blocks, "FEW", 10)
    for wrong in [(5.0, 6.0), (-6.0, -5.0), (inf, inf), (-5.0, 0.2), (0.5, 5.0)]:
        monkeypatch.setattr(_blocks, "_guessed", lambda *_, wrong=wrong: wrong)
        pool = [Units(keys_of("any", 500, seed, 0), 1, 0, 500) for seed in range(3)]
        for own, expected in zip(best(pool, 600), sorted_best(pool, 600), strict=True):
            assert torch.equal(own, expected)


# Runs


def lowest(values, n):
    """Of one run: which are not among the best n, the first of equal ones being better."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    return [i in order[n:] for i in range(len(values))]


@st.composite
def runs(draw):
    """(site, scores): runs of any length along the second dimension, short ones at the end too."""
    m = draw(st.integers(2, 11))
    n = draw(st.integers(1, m - 1))
    rest = draw(st.sampled_from([(), (1,), (3,)]))
    shape = (draw(st.integers(2, 4)), draw(st.integers(1, 3 * m)), *rest)
    sort = draw(st.sampled_from(sorted(SORTS)))
    scores = keys_of(sort, prod(shape), draw(st.integers(0, 999)), draw(st.sampled_from([0, 0.2])))
    site = Site("a:grid", "grid", shape, (Slice("a.weight", (0, 1), (1, 1)),), "a", among=(n, m))
    return site, scores.reshape(shape)


def each_run(site, tensor):
    """(index of the run, its values), full runs of all rows first, then short ones."""
    m = site.among[1]
    rows = tensor.movedim(1, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    full = rows.shape[-1] // m * m
    cuts = [(r, c, c + m) for r in range(len(flat)) for c in range(0, full, m)]
    cuts += [(r, full, rows.shape[-1]) for r in range(len(flat)) if full < rows.shape[-1]]
    return [flat[r, a:b].tolist() for r, a, b in cuts]


@given(runs(), st.integers(0, 99))
@settings(max_examples=200)
def test_what_is_low_in_a_run_and_what_it_is_worth(drawn, seed):
    site, scores = drawn
    n = site.among[0]
    found = runs_of(site, scores)
    stays = [
        torch.rand(r.keys.numel(), generator=torch.Generator().manual_seed(seed)) < 0.5
        for r in found
    ]
    mask = joined(site, found, stays)
    assert mask.shape == site.shape
    keys = [key for r in found for key in r.keys.flatten().tolist()]
    whole = [stay for own in stays for stay in own.tolist()]
    loose = [run for run in each_run(site, scores) if len(run) > n]
    kept = [run for run in each_run(site, mask) if len(run) > n]
    assert len(loose) == len(keys)
    for values, stayed, key, all_stay in zip(loose, kept, keys, whole, strict=True):
        low = lowest(values, n)
        assert stayed == [all_stay or not gone for gone in low]
        going = [value for value, gone in zip(values, low, strict=True) if gone]
        assert key == pytest.approx(sum(going) / len(going), rel=1e-5, abs=1e-6)
    assert all(all(run) for run in each_run(site, mask) if len(run) <= n)
    assert site.least == sum(min(n, len(run)) for run in each_run(site, mask))


@given(runs(), st.integers(1, 100), st.sampled_from(["global", "local"]))
@settings(max_examples=100)
def test_runs_under_a_budget_are_whole_or_have_n(drawn, percent, scope):
    site, scores = drawn
    scores = scores.nan_to_num(neginf=-1.0)
    sites = {site.name: site}
    budget = Budget(density=percent / 100, metric="units", scope=scope)
    limit = floor(Fraction(percent, 100) * site.units)
    if limit < site.least:
        with pytest.raises(PrunusError, match="the floors alone"):
            select({site.name: scores}, sites, budget, units(sites))
        with pytest.raises(PrunusError, match="the floors alone"):
            require_reach(sites, budget, units(sites))
        return
    require_reach(sites, budget, units(sites))
    mask = select({site.name: scores}, sites, budget, units(sites))[site.name]
    n = site.among[0]
    steps = set()
    for run in each_run(site, mask):
        assert sum(run) in (len(run), min(n, len(run)))
        steps |= {len(run) - sum(run)}
    assert int(mask.sum()) <= limit
    assert not [step for step in steps if step and int(mask.sum()) + step <= limit]


# Whole sites


class Layers(torch.nn.Module):
    """Linear layers and convolutions of different sizes."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(12, 8)
        self.b = torch.nn.Conv2d(8, 4, 3)
        self.c = torch.nn.Conv1d(4, 16, 2)
        self.d = torch.nn.Linear(24, 10)


TILINGS = ["1x1", "2x1", "1x2", "4x4", "channelx1", "1xchannel"]


def grid(tiling, **settings):
    return plain(Layers()).grid(".*", tiling, head=True, **settings)


@pytest.mark.parametrize("metric", ["units", "weights"])
@pytest.mark.parametrize("tiling", TILINGS)
@given(st.data())
@settings(max_examples=15)
def test_blocks_under_a_budget(tiling, metric, data):
    sites = grid(tiling, indivisible="pad")
    cost = units(sites) if metric == "units" else weights(sites)
    low = data.draw(st.sampled_from([0, 0, 0.2, 0.5]))
    high = data.draw(st.sampled_from([1.0, 1.0, 0.8, 0.6]))
    density = data.draw(st.integers(1, 100)) / 100
    rules = (Rule(match="b:", floor=0.7, ceiling=0.9),) if data.draw(st.booleans()) else ()
    budget = Budget(density=density, metric=metric, floor=low, ceiling=high, rules=rules)
    sort, per_cost = data.draw(st.sampled_from(sorted(SORTS))), data.draw(st.booleans())
    scores = {
        name: keys_of(sort, site.units, place, 0).reshape(site.shape)
        for place, (name, site) in enumerate(sites.items())
    }
    pool = []
    for name, site in sites.items():
        floor_, ceiling = (0.7, 0.9) if rules and name.startswith("b") else (low, high)
        least = ceil(Fraction(str(floor_)) * site.units)
        most = max(least, floor(Fraction(str(ceiling)) * site.units))
        size = int(cost.price(name))
        keys = scores[name].flatten() / (size if per_cost else 1)
        pool.append(Units(keys, size, least, most))
    bare = cost(dict.fromkeys(sites, 0))
    limit = floor(Fraction(str(density)) * (cost({}) - bare))
    if sum(u.least * u.size for u in pool) > limit:
        with pytest.raises(PrunusError, match="the floors alone"):
            require_reach(sites, budget, cost)
        with pytest.raises(PrunusError, match="the floors alone"):
            select(scores, sites, budget, cost, per_cost=per_cost)
        return
    require_reach(sites, budget, cost)
    plan = select(scores, sites, budget, cost, per_cost=per_cost)
    for name, expected in zip(sites, sorted_best(pool, limit), strict=True):
        assert torch.equal(plan[name].flatten(), expected)


def test_the_ceiling_of_runs_must_leave_what_always_stays():
    sites = grid("2:4", indivisible="skip")
    budget = Budget(density=0.6, metric="weights", ceiling=0.4)
    with pytest.raises(PrunusError, match="2 of 4 always stay, which is above the ceiling"):
        require_reach(sites, budget, weights(sites))


def test_floors_and_ceilings_of_runs():
    sites = grid("2:4", indivisible="skip")
    scores = {name: torch.rand(site.shape) for name, site in sites.items()}
    scores["a:grid"] += 9
    budget = Budget(density=0.7, metric="weights", floor=0.6, ceiling=0.8)
    plan = select(scores, sites, budget, weights(sites))
    for name, (kept, of) in plan.kept().items():
        assert 0.6 * of <= kept <= 0.8 * of, name
    assert plan["a:grid"].sum() > 0.8 * plan["a:grid"].numel() - 2


def test_runs_are_chosen_by_weights_alone():
    sites = grid("2:4", indivisible="skip")
    budget = Budget(density=0.6, metric="params")
    with pytest.raises(PrunusError, match="are chosen under metric: weights with select: greedy"):
        require_reach(sites, budget, params(sites))


def test_what_is_gone_does_not_come_back():
    sites = grid("2x1")
    scores = {name: torch.rand(site.shape) for name, site in sites.items()}
    gone = {name: torch.rand(site.shape) < 0.5 for name, site in sites.items()}
    found = masks(
        {name: own.masked_fill(gone[name], -inf) for name, own in scores.items()},
        sites, Budget(density=0.9, floor=0.8, metric="weights"), weights(sites), Plan(),
        per_cost=False, selector=Greedy(),
    )  # fmt: skip
    assert all(torch.equal(found[name], ~gone[name]) for name in sites)


@pytest.mark.parametrize("wrong", [float("nan"), inf, -inf])
def test_scores_that_are_no_numbers_are_told(wrong):
    sites = grid("2x1")
    scores = {name: torch.rand(site.shape) for name, site in sites.items()}
    scores["a:grid"][1, 2] = wrong
    with pytest.raises(PrunusError, match="'a:grid': scores are not finite"):
        select(scores, sites, Budget(density=0.9, metric="units"), units(sites))
