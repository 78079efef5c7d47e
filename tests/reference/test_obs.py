"""Optimal brain surgeon on groups, its curvature, and its curves, written out slowly."""

import itertools

import numpy as np
import pytest
import torch

from prunus.anatomy import anatomy
from prunus.gram import Moments, fit, removals, root
from prunus.probe import Directions, probe
from prunus.probe.directions import factors
from prunus.registry import build
from prunus.score import look
from tests.tiny import batch_of, far, tiny

SMOOTHING, T = 0.1, 2.0


def refit_loss(gram, weight, gone):
    """What is left of tr(D^T H D) when the rows ``gone`` of W are 0 and the others are refitted."""
    stays = [i for i in range(len(gram)) if i not in gone]
    target = gram @ weight
    fitted = np.zeros_like(weight)
    fitted[stays] = np.linalg.solve(gram[np.ix_(stays, stays)], target[stays])
    return np.trace((weight - fitted).T @ gram @ (weight - fitted))


def greedy(gram, weight, tile):
    """(order, losses): always the unit whose removal leaves the least, each tried."""
    units, gone, losses = len(gram) // tile, [], [0.0]
    inputs = lambda chosen: [u * tile + i for u in chosen for i in range(tile)]  # noqa: E731
    while len(gone) < units:
        left = [unit for unit in range(units) if unit not in gone]
        after = {unit: refit_loss(gram, weight, inputs([*gone, unit])) for unit in left}
        gone.append(min(after, key=after.get))
        losses.append(after[gone[-1]])
    return gone, losses


def case(inputs, outputs, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, inputs, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(inputs, inputs, generator=generator, dtype=torch.float64)
    return x.T @ x, torch.randn(inputs, outputs, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("inputs", "tile"), [(9, 1), (12, 3), (8, 4)])
def test_removals_are_those_of_trying_every_unit(inputs, tile):
    gram, weight = case(inputs, 5, inputs)
    order, losses = greedy(gram.numpy(), weight.numpy(), tile)
    found = removals(gram, weight, tile, ridge=1e-12, share=1e-9)
    assert found.order.tolist()[:-1] == order[:-1]
    np.testing.assert_allclose(found.loss.numpy(), losses, rtol=1e-6, atol=1e-6 * losses[-1])


def test_batches_of_removals_have_their_joint_loss():
    gram, weight = case(16, 4, 3)
    found = removals(gram, weight, 1, ridge=1e-12, share=0.25)
    for end in (4, 7):
        gone = found.order[:end].tolist()
        joint = refit_loss(gram.numpy(), weight.numpy(), gone)
        assert abs(float(found.loss[end]) - joint) < 1e-8 * joint
    assert (found.loss.diff() >= 0).all()


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_factors_are_those_of_the_covariance(classes):
    p = torch.randn(5, classes, dtype=torch.float64).softmax(-1)
    total = sum(f[:, :, None] * f[:, None, :] for f in factors(p))
    assert far(total, torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) < 1e-9


def test_random_directions_have_the_same_mean():
    model, batch = tiny("bert", num_labels=6), batch_of(tiny("bert"), 3)
    with torch.no_grad():
        out = model(input_ids=batch["input_ids"])
    p = (out.logits / T).softmax(-1)
    exact = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    directions, total, draws = Directions(T), 0, 4000
    z = out.logits.clone().requires_grad_()
    for _ in range(draws):
        (scalar,) = directions({"logits": z}, batch)
        (g,) = torch.autograd.grad(scalar, z)
        total = total + g[:, :, None] * g[:, None, :] / draws
    assert far(total, exact) < 0.1


def slow_curvature(model, batches, reader):
    """(weighted moments, A) of a reader from explicit per-token gradients."""
    rows, outer, norm = [], 0, 0
    for batch in batches:
        seen = {}

        def keep(_, args, out, seen=seen):
            seen["x"], seen["y"] = args[0].detach(), out.requires_grad_()

        handle = model.get_submodule(reader).register_forward_hook(keep)
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits
        handle.remove()
        p = (logits.detach() / T).softmax(-1)
        covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        values, vectors = torch.linalg.eigh(covariance)
        square = 0
        for k in range(p.shape[-1]):
            direction = (vectors[:, :, k] * values[:, k : k + 1].clamp_min(0).sqrt()).detach()
            (d,) = torch.autograd.grad((direction * logits).sum(), seen["y"], retain_graph=True)
            d = d.double()
            outer = outer + torch.einsum("bti,btj->ij", d, d)
            square = square + d.square().sum(-1)
        read = square > 1e-18
        norm = norm + float(square.sum())
        weight = (1 - SMOOTHING) * square[read] + SMOOTHING * square[read].mean()
        rows.append((seen["x"][read].double(), weight))
    x, w = torch.cat([x for x, _ in rows]), torch.cat([w for _, w in rows])
    size = len(outer)
    metric = (1 - SMOOTHING) * outer / norm + SMOOTHING * torch.eye(size) / size
    return x, w, metric


@pytest.mark.parametrize("site", ["encoder.layer.0:heads", "encoder.layer.1:neurons"])
def test_obs_is_the_surgeon_under_the_answers_curvature(site):
    model = tiny("bert")
    batches = [batch_of(model, size, 6, seed) for seed, size in enumerate((9, 8, 9))]
    sites = anatomy(model).of("heads", "neurons")
    criterion = build("score", {"name": "obs", "share": 1e-9 + 0.001, "ridge": 1e-3})
    evidence = look(model, batches, sites, criterion)[site]
    x, w, metric = slow_curvature(model, batches, evidence.site.reader)
    assert far(evidence.curvature.metric, metric) < 1e-4
    middle = x - (w[:, None] * x).sum(0) / w.sum()
    gram = (middle.T * w) @ middle
    gram += 1e-3 * gram.diagonal().mean() * torch.eye(len(gram))
    assert far(evidence.curvature.inputs.centred().gram, (middle.T * w) @ middle) < 1e-4
    weight = evidence.inlet.double() @ root(metric)
    _, losses = greedy(gram.numpy(), weight.numpy(), len(gram) // evidence.site.units)
    curve = criterion.curve(evidence)
    np.testing.assert_allclose(curve.loss.numpy(), losses, rtol=2e-2, atol=1e-4 * losses[-1])


def test_a_span_head_and_numbers_have_curvature_too():
    for cls, labels in (("BertForQuestionAnswering", 2), ("BertForSequenceClassification", 1)):
        model = tiny("bert", cls, num_labels=labels)
        batch = {k: v for k, v in batch_of(model, 4).items() if k != "labels"}
        found = probe(model, [batch], anatomy(model).of("neurons"), ["curvature"])
        for evidence in found.values():
            assert evidence.curvature.outer.trace() > 0
            assert torch.isfinite(evidence.curvature.inputs.gram).all()


def test_the_fit_is_never_worse_than_the_weights_as_they_are():
    gram, weight = case(7, 3, 5)
    cross = gram @ weight
    for kept in itertools.combinations(range(7), 3):
        stays = torch.tensor(kept)
        seen = Moments(gram, cross, torch.zeros(7).double(), torch.zeros(3).double(), 60).of(stays)
        fitted, _ = fit(seen, weight[stays], 1e-9, centred=False)
        full = torch.zeros_like(weight)
        full[stays] = fitted
        loss = float(((weight - full).T @ gram @ (weight - full)).trace())
        assert loss <= refit_loss(gram.numpy(), weight.numpy(), set(range(7)) - set(kept)) * 1.0001
