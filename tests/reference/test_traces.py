"""Criteria that read weights and gradients, against loops over units and steps."""

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.errors import PrunusError
from prunus.probe import Trace
from prunus.registry import build, find, names
from prunus.score import score
from prunus.score._traced import Traced
from prunus.site import expand
from tests.tiny import batch_of, tiny
from tests.training import course, pruned, trained

ENTRY = {
    "gradient": lambda w, g: g.abs(),
    "snip": lambda w, g: (w * g).abs(),
    "snip_momentum": lambda w, g: (w * g).abs(),
    "block_mask": lambda w, g: w * g,
}
FOLD = {"mean": torch.mean, "sum": torch.sum, "max": torch.max}


def entries_of(site, place, shapes):
    """{parameter: bool, which of its entries belong to a unit}, weights only."""
    one = torch.zeros(site.shape)
    one.view(-1)[place] = 1
    found = {}
    for part in site.weights:
        mine = expand(part, one, shapes[part.tensor]) > 0
        found[part.tensor] = mine | found.get(part.tensor, torch.zeros_like(mine))
    return found


def slow(site, name, fold, steps, keep, new):
    """[units]: S <- keep S + new x, x folded over the weights of each unit."""
    shapes = {key: weight.shape for key, (weight, _) in steps[0].items()}
    scores = torch.zeros(site.units, dtype=torch.float64)
    for place in range(site.units):
        mine = entries_of(site, place, shapes)
        trace = 0
        for step in steps:
            values = [
                ENTRY[name](*(t.double() for t in step[key]))[own] for key, own in mine.items()
            ]
            x = torch.cat(values)
            x = x.sum().abs() if name == "block_mask" else x
            trace = keep * trace + new * x
        size = sum(int(own.sum()) for own in mine.values())
        if name == "block_mask":
            scores[place] = trace / size if fold == "mean" else trace
        else:
            scores[place] = FOLD[fold](trace)
    return scores.reshape(site.shape)


SITES = [("net", "4x1"), ("net", "2x2"), ("net", "1xchannel"), ("bert", "heads"), ("gpt2", "heads")]


@pytest.mark.parametrize(
    ("model", "pattern", "name", "fold"),
    [
        (*sites, name, fold)
        for sites in SITES
        for name in ENTRY
        for fold in FOLD
        if fold != "max" or (sites[1] != "heads" and name != "block_mask")
    ],
)
def test_what_a_training_leaves_behind(model, pattern, name, fold):
    tiny_ = trained(model)
    sites = tiny_.of(pattern)
    settings = {"name": name, "reduce": fold}
    keep, new = 0.0, 1.0
    if name in ("snip_momentum", "block_mask"):
        keep, new = 0.7, 0.5
        settings |= {"keep": keep, "new": new}
    optimizer = torch.optim.SGD(tiny_.model.parameters(), lr=0.1)
    schedule = {"name": "one_shot", "warmup": 4}
    pruner = pruned(tiny_, optimizer, course(sites, 0.5, settings, schedule), steps=4)
    steps = []
    for step in range(4):
        tiny_.grad(step)
        parameters = dict(tiny_.model.named_parameters())
        steps.append({k: (p.detach().clone(), p.grad.clone()) for k, p in parameters.items()})
        if step == 3:  # weights as they were before the step are what is scored
            pruner._before()
            break
        optimizer.step()
        optimizer.zero_grad()
    for key, site in list(sites.items())[:2]:
        found = pruner._score(pruner.tracks[0], key)
        expected = slow(site, name, fold, steps, keep, new)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-9)


def test_the_defaults_are_those_of_the_original():
    made = build("score", "snip_momentum")
    assert (made.fading, made.reduce) == ((0.9, 1.0), "mean")
    assert build("score", "block_mask").fading == (0.9, 1.0)
    assert build("score", "snip").fading == build("score", "gradient").fading == (0.0, 1.0)


@pytest.mark.parametrize("name", ENTRY)
def test_one_pass_adds_up_its_batches(name):
    model = tiny("bert", layers=1)
    sites = anatomy(model).grid(".*(query|dense)", "4x1", indivisible="skip").of("grid")
    batches = [batch_of(model, size, seed=size) for size in (2, 3)]
    found = score(model, batches, sites, build("score", name))
    steps = []
    for batch in batches:
        model.zero_grad()
        (model(**batch).loss * len(batch["labels"])).backward()
        steps.append({k: (p.detach(), p.grad.clone()) for k, p in model.named_parameters()
                      if p.grad is not None})  # fmt: skip
    for key, site in list(sites.items())[:2]:
        expected = slow(site, name, "mean", steps, 1.0, 1.0)
        torch.testing.assert_close(found[key].double(), expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("pattern", ["heads", "4x1"])
def test_one_pass_has_no_largest_value(pattern):
    model = tiny("bert", layers=1)
    found = anatomy(model)
    sites = found.of("heads") if pattern == "heads" else found.grid(".*query", pattern)
    with pytest.raises(PrunusError, match="reduce: max needs the values of single weights"):
        score(model, [batch_of(model)], sites, build("score", {"name": "snip", "reduce": "max"}))


def test_heads_have_no_largest_value_in_training_either():
    with pytest.raises(PrunusError, match="reduce: max is one of blocks of one weight"):
        course(trained("bert").of("heads"), 0.5, {"name": "snip", "reduce": "max"})


def test_no_gradient_leaves_a_trace_as_it_is():
    site = trained("net").of("4x1")["wide:grid"]
    trace = Trace(site, "snip", 0.5, 1.0)
    weight, gradient = torch.rand(24, 16), torch.rand(24, 16)
    trace.add({"wide.weight": weight}, {"wide.weight": None})
    assert trace.value is None
    trace.add({"wide.weight": weight}, {"wide.weight": gradient})
    once = trace.value.clone()
    trace.add({"wide.weight": weight}, {"wide.weight": gradient})
    torch.testing.assert_close(trace.value, 1.5 * once)


def test_every_traced_criterion_is_referred_to():
    assert {n for n in names("score") if issubclass(find("score", n), Traced)} == set(ENTRY)
