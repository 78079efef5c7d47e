"""FLAP's score and its bias, written out slowly on all real tokens."""

import numpy as np
import pytest
import torch

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.registry import build
from prunus.score import score
from tests.tiny import batch_of, tiny


def data_of(model, sizes=(5, 4)):
    return [batch_of(model, size, seed=seed) for seed, size in enumerate(sizes)]


def seen_at(model, reader, batches, residual=""):
    """A reader's inputs, or the stream after its output is added to a residual: real tokens."""
    rows = []
    for batch in batches:
        seen = {}
        handles = [
            model.get_submodule(reader).register_forward_hook(
                lambda _, args, out, seen=seen: seen.update(x=args[0], out=out)
            )
        ]
        if residual:
            handles.append(
                model.get_submodule(residual).register_forward_pre_hook(
                    lambda _, args, seen=seen: seen.update(stream=args[0])
                )
            )
        with torch.no_grad():
            model(**batch)
        for handle in handles:
            handle.remove()
        value = seen["stream"] + seen["out"] if residual else seen["x"]
        rows.append(value[batch["attention_mask"].bool()].double().numpy())
    return np.concatenate(rows)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_score_is_standardised_variance_times_the_column_norm(family):
    model = tiny(family)
    data, sites = data_of(model), anatomy(model).of("heads", "neurons")
    found = score(model, data, sites, build("score", "fluctuation"))
    for name, site in sites.items():
        x = seen_at(model, site.reader, data)
        columns = model.get_submodule(site.reader).weight.detach().double().numpy()
        each = []
        for i in range(x.shape[1]):
            variance = sum((value - x[:, i].mean()) ** 2 for value in x[:, i]) / len(x)
            each.append(variance * (columns[:, i] ** 2).sum())
        standard = (np.array(each) - np.mean(each)) / np.std(each)
        width = len(each) // site.units
        expected = [standard[u * width : (u + 1) * width].mean() for u in range(site.units)]
        np.testing.assert_allclose(found[name].numpy(), expected, rtol=1e-3, atol=1e-4)


def test_units_are_ranked_globally_and_not_by_what_they_cost():
    model = tiny("bert")
    data, sites = data_of(model), anatomy(model).of("heads", "neurons")
    job = job_of(
        model, sites, data, score="fluctuation", budget={"density": 0.5, "metric": "units"},
        recover=(),
    )  # fmt: skip
    found = job.score(Plan())
    plan = job.select(found, Plan())
    kept = torch.cat([found[name][plan[name]] for name in sites])
    gone = torch.cat([found[name][~plan[name]] for name in sites])
    assert kept.min() >= gone.max()
    assert len(kept) == len(gone) == 28


@pytest.mark.parametrize("kind", ["sublayers", "layers"])
def test_whole_sublayers_are_refused(kind):
    model = tiny("bert")
    with pytest.raises(PrunusError, match=r"is a single unit|not the input of one module"):
        score(model, data_of(model), anatomy(model).of(kind), build("score", "fluctuation"))


@pytest.mark.parametrize("density", [0.7, 0.4])
def test_the_bias_gets_what_the_removed_inputs_gave_on_average(density):
    model = tiny("bert")
    data, sites = data_of(model), anatomy(model).of("heads", "neurons")
    job = job_of(
        model, sites, data, score="fluctuation", budget={"density": density, "floor": 0.2},
        recover=["bias"],
    )  # fmt: skip
    plan = build("drive", "oneshot").run(job)
    small = finish(job, plan)
    first, *_ = sites.values()
    linear = model.get_submodule(first.reader)
    gone = (~plan[first.name]).repeat_interleave(8).numpy()
    mean = seen_at(model, first.reader, data)[:, gone].mean(0)
    weight, bias = (tensor.detach().double().numpy() for tensor in linear.parameters())
    expected = bias + weight[:, gone] @ mean
    found = small.get_submodule(first.reader)
    np.testing.assert_allclose(found.bias.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(found.weight.detach().numpy(), linear.weight.detach().numpy()[:, ~gone])
    for site in sites.values():
        after, before = (seen_at(m, site.reader, data, site.residual) for m in (small, model))
        np.testing.assert_allclose(after.mean(0), before.mean(0), rtol=1e-4, atol=1e-5)


def test_a_reader_without_a_bias_is_refused():
    model = tiny("llama")
    job = job_of(
        model, anatomy(model).of("heads"), data_of(model), score="fluctuation",
        budget={"density": 0.5}, recover=["bias"],
    )  # fmt: skip
    with pytest.raises(PrunusError, match=r"o_proj has no bias .*use recover: least_squares"):
        build("drive", "oneshot").run(job)
