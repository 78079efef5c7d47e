"""The measured split against brute force, and which measurement comes next."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunus.anatomy import anatomy
from prunus.drive._next import following
from prunus.errors import PrunusError
from prunus.registry import build
from prunus.select import Budget, params, select, units
from prunus.select._pool import candidate
from prunus.sensitivity import Measurement, Sensitivity, SiteCurve
from tests.tiny import tiny

FAMILIES = {"bert": "BertModel", "llama": "LlamaModel"}


def table(sites, losses, folder):
    """A table on the disk of {site: {units: loss}}."""
    curves = tuple(
        SiteCurve(
            site=name, kind=sites[name].kind, units=sites[name].units,
            points=tuple(
                Measurement(units=n, density=n / sites[name].units, loss=loss, stderr=0.0)
                for n, loss in sorted(own.items(), reverse=True)
            ),
        )
        for name, own in losses.items()
    )  # fmt: skip
    made = Sensitivity(
        model="m", weights="", task="t", score={"name": "magnitude"}, split="development",
        samples=1, seconds=1.0, complete=True, sites=curves,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "sensitivity.json").write_text(made.model_dump_json())
    return build("select", {"name": "measured", "table": str(folder)})


def drawn(sites, seed, lowest=0):
    """Losses at every number of units that may stay, falling as units stay, in no simple way."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, site in sites.items():
        step = site.units // site.run
        counts = range(max(lowest, site.least), site.units, step)
        falls = torch.rand(len(counts), generator=generator).square().flip(0).cumsum(0).flip(0)
        found[name] = dict(zip(counts, falls.tolist(), strict=True))
    return found


def scores(sites, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(site.shape, generator=generator) for name, site in sites.items()}


def brute(sites, losses, cost, limit):
    """The least summed loss of all splits within the limit."""
    choices = [[*own, sites[name].units] for name, own in losses.items()]
    sums = [
        sum(losses[name].get(count, 0.0) for name, count in zip(losses, split, strict=True))
        for split in product(*choices)
        if cost(dict(zip(losses, split, strict=True))) <= limit
    ]
    return min(sums)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["heads", "neurons"])
@pytest.mark.parametrize("density", [0.3, 0.55, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_no_split_loses_less(family, kind, density, seed, tmp_path):
    model = tiny(family, FAMILIES[family])
    sites = anatomy(model).of(kind)
    cost, losses = params(sites), drawn(sites, seed)
    chosen = table(sites, losses, tmp_path)
    plan = select(
        scores(sites), sites, Budget(density=density, metric="params"), cost, selector=chosen
    )
    bare = cost(dict.fromkeys(sites, 0))
    limit = bare + density * (cost({}) - bare)
    assert cost(plan.counts()) <= limit
    total = sum(losses[name].get(count, 0.0) for name, count in plan.counts().items())
    assert total == pytest.approx(brute(sites, losses, cost, limit), rel=1e-9)


def bert():
    return anatomy(tiny("bert", "BertModel")).of("neurons")


def test_units_of_a_site_go_by_their_scores(tmp_path):
    sites = bert()
    found = scores(sites)
    chosen = table(sites, {name: {12: 1.0, 0: 2.0} for name in sites}, tmp_path)
    plan = select(found, sites, Budget(density=0.5, metric="units"), units(sites), selector=chosen)
    for name, stays in plan.items():
        assert (
            not stays.any()
            or not (~stays).any()
            or found[name][stays].min() > found[name][~stays].max()
        )


def test_the_worse_site_stays_whatever_scores_say(tmp_path):
    first, second = sites = bert()
    found = {first: 100 + torch.rand(24), second: torch.rand(24)}
    losses = {first: {18: 0.1, 12: 0.2, 6: 0.3, 0: 0.4}, second: {18: 1.0, 12: 2.0, 6: 4.0, 0: 9.0}}
    plan = select(
        found, sites, Budget(density=0.5, metric="units"), units(sites),
        selector=table(sites, losses, tmp_path), per_cost=False,
    )  # fmt: skip
    assert plan.counts() == {first: 0, second: 24}


def test_losses_lie_on_lines_between_what_was_measured_and_never_rise(tmp_path):
    first, _ = sites = bert()
    losses = {name: {18: 2.0, 12: 4.0, 6: 2.0, 0: 9.0} for name in sites}
    chosen = table(sites, losses, tmp_path)
    budget = Budget(density=0.5, metric="units")
    own = chosen.judged(candidate(sites[first], scores(sites)[first], 1.0, budget, None), 2.0)
    at = torch.tensor(own.losses)
    assert at[[0, 3, 6, 9, 12, 18, 21, 24]].tolist() == pytest.approx([9, 6, 3, 3, 3, 2, 1, 0])
    assert (at.diff() <= 0).all()
    assert own.keys[0] == pytest.approx(1 / 2)  # a nat a unit, which costs two


@pytest.mark.parametrize("round_to", [1, 4])
def test_nothing_goes_below_what_was_measured(tmp_path, round_to):
    sites = bert()
    chosen = table(sites, {name: {12: 1.0, 7: 1.0} for name in sites}, tmp_path)
    found, cost = scores(sites), units(sites)
    budget = Budget(density=0.4, metric="units", round_to=round_to)
    plan = select(found, sites, budget, cost, selector=chosen)
    assert all(count >= (8 if round_to == 4 else 7) for count in plan.counts().values())
    with pytest.raises(PrunusError, match=r"nothing below . of 24 units was measured"):
        select(found, sites, budget.settled(0.25), cost, selector=chosen)


@pytest.mark.parametrize("metric", ["units", "params"])
@given(seed=st.integers(0, 10**6), density=st.floats(0.05, 1))
def test_budgets_are_met_and_filled(metric, tmp_path_factory, seed, density):
    sites = anatomy(tiny("llama", "LlamaModel")).of("heads", "neurons")
    cost = params(sites) if metric == "params" else units(sites)
    chosen = table(sites, drawn(sites, seed), tmp_path_factory.mktemp("table"))
    budget = Budget(density=density, metric=metric)
    bare = cost(dict.fromkeys(sites, 0))
    limit = bare + density * (cost({}) - bare) + 1e-6
    if cost({name: site.least for name, site in sites.items()}) > limit:
        with pytest.raises(PrunusError, match="floors alone"):
            select(scores(sites), sites, budget, cost, selector=chosen)
        return
    kept = select(scores(sites), sites, budget, cost, selector=chosen).counts()
    assert cost(kept) <= limit
    for name, site in sites.items():
        more = kept[name] + site.units // site.run
        assert more > site.units or cost({**kept, name: more}) > limit - 1e-5


def test_what_is_said_of_the_table(tmp_path):
    with pytest.raises(PrunusError, match="either table"):
        build("select", "measured")
    with pytest.raises(PrunusError, match="only `prunus run` measures first"):
        build("select", {"name": "measured", "minutes": 1}).require({}, {}, str)
    gone = build("select", {"name": "measured", "table": str(tmp_path / "none")})
    with pytest.raises(PrunusError, match="`prunus sensitivity` writes it"):
        gone.require({}, {}, str)
    (tmp_path / "sensitivity.json").write_text("{}")
    broken = build("select", {"name": "measured", "table": str(tmp_path)})
    with pytest.raises(PrunusError, match=r"no table of sensitivities: .*missing"):
        broken.require({}, {}, str)


def test_a_site_of_another_width(tmp_path):
    sites = bert()
    chosen = table(sites, {name: {12: 1.0} for name in sites}, tmp_path)
    wide = anatomy(tiny("bert", "BertModel", intermediate_size=32)).of("neurons")
    with pytest.raises(PrunusError, match=r"has 32 units .* it has 24"):
        chosen.require(wide, {"name": "magnitude"}, str)
    heads = anatomy(tiny("bert", "BertModel")).of("heads")
    with pytest.raises(PrunusError, match="no measurement of it"):
        chosen.require(heads, {"name": "magnitude"}, str)


# What is measured next


def test_the_greatest_uncertainty_is_measured_in_its_middle():
    ladders, units_of = {"a": [9, 7, 5, 3, 1], "b": [9, 7, 5, 3, 1]}, {"a": 10, "b": 10}
    known = {"a": {5: 1.0, 1: 1.5}, "b": {5: 0.1, 1: 0.2}}
    assert following(ladders, known, units_of) == ("a", 7)
    known["a"] |= {7: 0.9}
    assert following(ladders, known, units_of) == ("a", 9)
    known["a"] |= {9: 0.89}
    assert following(ladders, known, units_of) == ("a", 3)


def test_losses_that_fall_by_chance_are_certain_enough():
    known = {"a": {5: 1.0, 1: 0.5}}
    assert following({"a": [9, 5, 3, 1]}, known, {"a": 10}) == ("a", 9)


@given(
    seed=st.integers(0, 10**6), steps=st.lists(st.sets(st.integers(0, 15)), min_size=1, max_size=4)
)
def test_everything_is_measured_once(seed, steps):
    ladders = {str(n): sorted(own, reverse=True) for n, own in enumerate(steps)}
    chance, known = torch.Generator().manual_seed(seed), {name: {} for name in ladders}
    units_of, order = dict.fromkeys(ladders, 16), []
    while (own := following(ladders, known, units_of)) is not None:
        name, count = own
        assert count in ladders[name]
        assert count not in known[name]
        known[name][count] = float(torch.rand((), generator=chance))
        order.append(own)
    assert len(order) == sum(map(len, ladders.values()))
    full = [name for name in ladders if ladders[name]]
    assert [name for name, _ in order[: len(full)]] == full
