"""Kwon et al. (arXiv 2204.09656) written out slowly against its recipe, and its parts alone.

Everything is done with masks on the dense model, as in the paper: what the recipe cuts and writes
into weights is here a number by which a head or neuron is multiplied.
"""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import lsmr

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of, oneshot
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.gram import Moments
from prunus.plan import Plan
from prunus.recipe import read
from prunus.recover import Reader
from prunus.recover.rearrange import exchanged
from prunus.recover.scale import Scale
from prunus.registry import build
from tests.reference.test_sweep import HEADS, NEURONS, flops, forward, sublayers
from tests.tiny import batch_of, far, outputs, tiny


def wide(values):
    """Unit values on the inputs of every out projection."""
    widths = {site: width for site, _, _, _, width in sublayers()}
    return {site: value.repeat_interleave(widths[site]) for site, value in values.items()}


def ones():
    return {site: torch.ones(units).double() for site, _, _, units, _ in sublayers()}


def gradients(model, batches):
    """{sublayer: [batch, unit]}: of the mean cross-entropy of each batch."""
    rows = {site: [] for site in ones()}
    for batch in batches:
        masks = {site: value.requires_grad_() for site, value in ones().items()}
        logits, _ = forward(model, batch, wide(masks))
        chances = logits.softmax(-1)[torch.arange(len(logits)), batch["labels"]]
        (-chances.log().mean()).backward()
        for site, value in masks.items():
            rows[site].append(value.grad.numpy())
    return {site: np.array(found) for site, found in rows.items()}


def search(g, density, length):
    """{sublayer: [units] bool}: for each number of heads the neurons that fit, the best of all."""
    price = flops(length)
    ranked = {"heads": [], "neurons": []}
    for site, rows in g.items():
        for unit in range(rows.shape[1]):
            fisher = sum(row[unit] ** 2 for row in rows)
            ranked[site.split(":")[1]].append((fisher, site, unit))
    for units in ranked.values():
        units.sort(key=lambda unit: -unit[0])
    limit = density * sum(price[kind] * len(units) for kind, units in ranked.items())
    best, keep = -1.0, None
    for heads in range(len(ranked["heads"]) + 1):
        left = limit - heads * price["heads"]
        if left < 0:
            break
        units = ranked["heads"][:heads] + ranked["neurons"][: int(left // price["neurons"])]
        if sum(unit[0] for unit in units) > best:
            best, keep = sum(unit[0] for unit in units), units
    plan = {site: torch.zeros(rows.shape[1]).bool() for site, rows in g.items()}
    for _, site, unit in keep:
        plan[site][unit] = True
    return plan


def rearrange(rows, gone):
    """Units to remove, as many as ``gone``: every union of a set and a newcomer tried anew."""
    order = sorted(range(rows.shape[1]), key=lambda unit: sum(row[unit] ** 2 for row in rows))
    pruned = order[:gone]
    for unit in order[gone:]:
        pruned.append(unit)
        losses = []
        for left in pruned:
            rest = [other for other in pruned if other != left]
            losses.append(sum(row[rest].sum() ** 2 for row in rows))
        del pruned[int(np.argmin(losses))]
    return pruned


def designs(student, teacher, model, batches, site, out):
    """(kept units, A, b): what each adds on all tokens and entries, what all should add up to."""
    width = next(w for name, _, _, _, w in sublayers() if name == site)
    reader = model.get_submodule(out)
    kept = student[site].nonzero()[:, 0].tolist()
    columns, targets = {unit: [] for unit in kept}, []
    for batch in batches:
        real = batch["attention_mask"].bool()
        with torch.no_grad():
            _, ours = forward(model, batch, wide(student))
            _, theirs = forward(model, batch, wide(teacher))
            for unit in kept:
                part = slice(unit * width, (unit + 1) * width)
                own = ours[site]["x"][..., part] @ reader.weight[:, part].T
                columns[unit].append(own[real].numpy().flatten())
        goal = theirs[site]["residual"] + theirs[site]["out"] - ours[site]["residual"] - reader.bias
        targets.append(goal[real].detach().numpy().flatten())
    a = np.stack([np.concatenate(columns[unit]) for unit in kept], 1)
    return kept, a, np.concatenate(targets)


def tune(plan, teacher, model, batches):
    """The masks with a scale for every unit that stays, bottom up; and how many were tuned."""
    student, tuned = {site: stays.double() for site, stays in plan.items()}, 0
    for index, (site, out, _, _, width) in enumerate(sublayers()):
        if index == 0 or not student[site].any():
            continue
        kept, a, b = designs(student, teacher, model, batches, site, out)
        if width > 1:
            a = np.concatenate([a, np.ones((len(a), 1))], 1)
        found = lsmr(a.T @ a, a.T @ b - (a.T @ a).sum(1), damp=1, maxiter=5 * a.shape[1])
        scales = 1 + found[0][: len(kept)]
        if found[1] < 3 and np.abs(scales).max() <= 10:
            student[site][kept] = torch.tensor(scales)
            tuned += 1
    return student, tuned


def kwon(model, batches, density, length):
    """(masks with scales, {sublayer: [units] bool}, sublayers tuned, sublayers rearranged)."""
    g = gradients(model, batches)
    first = search(g, density, length)
    plan = {site: stays.clone() for site, stays in first.items()}
    for site, stays in plan.items():
        gone = int((~stays).sum())
        if 0 < gone < len(stays):
            stays[:] = True
            stays[rearrange(g[site], gone)] = False
    milder = search(g, math.sqrt(density), length)
    teacher = {site: stays.double() for site, stays in milder.items()}
    student, tuned = tune(plan, teacher, model, batches)
    return student, plan, tuned, sum(not torch.equal(plan[s], first[s]) for s in plan)


ROUNDING = 1e-5
"""LSMR stops early, where rounding still shows: the passes themselves are in float64."""


def data_of(model):
    """(batches, mean length)."""
    batches = [batch_of(model, size, 9, seed) for seed, size in enumerate((6, 6, 5, 6, 4))]
    lengths = [int(row.sum()) for batch in batches for row in batch["attention_mask"]]
    return batches, round(np.mean(lengths))


@pytest.mark.parametrize("density", [0.75, 0.5, 0.25])
def test_the_recipe_is_kwon(density):
    recipe, model = read("kwon"), tiny("bert", seed=1).double()
    batches, length = data_of(model)
    masks, expected, tuned, rearranged = kwon(model, batches, density, length)
    job = job_of(
        model, anatomy(model).of(*recipe.sites), batches, score=recipe.score,
        budget={**recipe.budget, "density": density}, select=recipe.select, recover=recipe.recover,
    )  # fmt: skip
    plan = build("drive", recipe.drive).run(job)
    assert plan == Plan(expected)
    assert tuned
    assert rearranged
    for site, out, _, _, _ in sublayers():
        if expected[site].any():
            inputs = wide(expected)[site]
            weight = (model.get_submodule(out).weight * wide(masks)[site])[:, inputs].detach()
            assert far(job.student.get_submodule(out).weight.detach(), weight) < ROUNDING
    batch = batch_of(model, 4, seed=9)
    small = outputs(finish(job, plan), batch)
    slow, _ = forward(model, batch, wide(masks))
    assert far(small, slow.detach().flatten()) < ROUNDING
    assert far(small, outputs(model, batch)) > 1e-2


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_exchanges_are_those_of_trying_every_union_anew(data):
    units, batches = data.draw(st.integers(2, 14)), data.draw(st.integers(1, 4))
    gone = data.draw(st.integers(1, units - 1))
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    rows = generator.normal(size=(batches, units)) * generator.exponential(size=units)
    found = exchanged(torch.tensor(rows.T @ rows), gone)
    assert sorted(found.tolist()) == sorted(rearrange(rows, gone))


def test_many_neurons_are_exchanged_in_no_time():
    rows = torch.randn(15, 1536, generator=torch.Generator().manual_seed(0)).double()
    start = time.process_time()
    gone = exchanged(rows.T @ rows, 700)
    assert time.process_time() - start < 1
    assert gone.unique().numel() == 700
    assert rows[:, gone].sum(1).square().sum() < rows.square().sum()


def test_exchanging_needs_gradients():
    model = tiny("bert")
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), [batch_of(model)],
        score="magnitude", budget={"density": 0.5}, recover=["rearrange"],
    )  # fmt: skip
    with pytest.raises(PrunusError, match="use score: fisher or taylor"):
        build("drive", "oneshot").run(job)


def scaled(x, y, weight):
    """(weight before, weight after) scales are fitted to tokens x, and y without the bias."""
    student = tiny("bert", intermediate_size=x.shape[1])
    site = anatomy(student)["encoder.layer.0:neurons"]
    seen = Moments.zeros(x.shape[1], y.shape[1], x.device)
    seen.add(x, y + student.get_submodule(site.reader).bias.detach())
    reader = Reader(student, site, torch.ones(x.shape[1]).bool(), seen.flush())
    reader.weight.copy_(weight)
    before = reader.weight.clone()
    Scale().mend(reader)
    return before, reader.weight


def test_scales_that_are_there_are_found():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 6, generator=generator)
    weight = torch.randn(6, 32, generator=generator)
    scales = torch.tensor([0.5, 1.0, -2.0, 9.0, 0.0, 1.5])
    before, after = scaled(x, (x * scales) @ weight, weight)
    assert far(after, before * scales[:, None]) < 1e-3


def test_wild_scales_and_systems_that_do_not_converge_change_nothing():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 6, generator=generator)
    weight = torch.randn(6, 32, generator=generator)
    before, after = scaled(x, (x * 11) @ weight, weight)
    assert torch.equal(after, before)
    steep = torch.randn(500, 100, generator=generator) * torch.logspace(0, 2, 100)
    weight = torch.randn(100, 32, generator=generator)
    scales = 1.0 + (torch.arange(100) < 50)
    before, after = scaled(steep, (steep * scales) @ weight, weight)
    assert torch.equal(after, before)


def test_the_teacher_is_milder_by_the_root_of_every_density_and_only_meanwhile(monkeypatch):
    model, plans = tiny("bert"), []

    def masked(model, sites, plan):
        plans.append(plan)
        return mask(model, sites, plan)

    monkeypatch.setattr(oneshot, "mask", masked)
    batch = batch_of(model)
    dense = outputs(model, batch)
    rules = [{"match": "heads", "density": 0.25, "scope": "global"}]
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), [batch], score="fisher",
        budget={"density": 0.36, "metric": "units", "rules": rules}, recover=["scale"],
    )  # fmt: skip
    plan = build("drive", {"name": "oneshot", "teacher": "milder"}).run(job)

    def total(plan, kind):
        return sum(count for name, count in plan.counts().items() if name.endswith(kind))

    assert (total(plan, "heads"), total(plan, "neurons")) == (HEADS // 2, int(2 * NEURONS * 0.36))
    assert total(plans[0], "heads") == HEADS
    assert total(plans[0], "neurons") == int(2 * NEURONS * 0.6)
    assert torch.equal(outputs(model, batch), dense)
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), [batch], score="fisher",
        budget={"density": 0.5}, recover=["scale"],
    )  # fmt: skip
    build("drive", "oneshot").run(job)
    assert len(plans) == 1
