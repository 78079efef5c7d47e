"""The exchange of units against trying every exchange, each refitted."""

import itertools

import numpy as np
import pytest
import torch

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.gram import Moments
from prunus.plan import Plan
from prunus.recover import Reader
from prunus.recover.swap import Exchange, Swap, disjoint
from prunus.registry import build
from tests.tiny import batch_of, outputs, tiny

CASES = [(10, 1), (24, 1), (12, 3), (20, 4)]


def case(inputs, seed):
    """(H, V) with strongly correlated inputs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, inputs, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(inputs, inputs, generator=generator, dtype=torch.float64)
    return x.T @ x, torch.randn(inputs, 5, generator=generator, dtype=torch.float64)


def refit_loss(gram, weight, stays):
    """tr(D^T H D) when the weights outside ``stays`` are 0 and the others are refitted."""
    target, fitted = gram @ weight, torch.zeros_like(weight)
    fitted[stays] = torch.linalg.solve(gram[stays][:, stays], target[stays])
    return float(((weight - fitted) * (gram @ (weight - fitted))).sum())


def exchanges(kept):
    """Every mask that differs by one exchange: {(unit that goes, unit that comes): mask}."""
    found = {}
    for i, j in itertools.product(kept.nonzero()[:, 0].tolist(), (~kept).nonzero()[:, 0].tolist()):
        found[i, j] = kept.clone()
        found[i, j][i], found[i, j][j] = False, True
    return found


def start(inputs, tile):
    gram, weight = case(inputs, inputs)
    units = inputs // tile
    kept = torch.arange(units) < units // 2
    return Exchange(gram, weight, kept, units), lambda mask: refit_loss(
        gram, weight, mask.repeat_interleave(tile)
    )


@pytest.mark.parametrize(("inputs", "tile"), CASES)
def test_every_exchange_is_known_exactly(inputs, tile, monkeypatch):
    monkeypatch.setattr("prunus.recover.swap.ROOM", 3)  # a few pairs at a time
    search, loss = start(inputs, tile)
    for _ in range(3):
        assert search.loss == pytest.approx(loss(search.kept), rel=1e-8)
        stays, gone = search.kept.nonzero()[:, 0], (~search.kept).nonzero()[:, 0]
        expected = [loss(mask) - search.loss for mask in exchanges(search.kept).values()]
        found = search.changes(stays, gone).flatten().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * search.loss)
        search.step(2)


@pytest.mark.parametrize(("inputs", "tile"), CASES)
def test_one_at_a_time_it_is_brute_force_over_single_exchanges(inputs, tile):
    search, loss = start(inputs, tile)
    while True:
        tried = {pair: loss(mask) for pair, mask in exchanges(search.kept).items()}
        best, before = min(tried, key=tried.get), search.kept.clone()
        if not search.step(1):
            break
        assert torch.equal(search.kept, exchanges(before)[best])
    assert min(tried.values()) > search.loss * (1 - 1e-5)


@pytest.mark.parametrize("most", [2, 5, 12])
def test_many_at_once_only_lower_the_loss_and_end_where_no_exchange_helps(most):
    search, loss = start(24, 1)
    losses = [search.loss]
    while search.step(most):
        losses.append(loss(search.kept))
        assert int(search.kept.sum()) == 12
    assert losses == sorted(losses, reverse=True)
    assert len(losses) > 2
    assert min(map(loss, exchanges(search.kept).values())) > search.loss * (1 - 1e-5)


def test_units_are_exchanged_within_their_runs():
    search = Exchange(*case(12, 12), torch.tensor([True, False, False] * 4), 3)
    while search.step(4):
        pass
    assert search.kept.reshape(4, 3).sum(1).tolist() == [1, 1, 1, 1]


def test_pairs_are_the_lowest_without_a_unit_in_common():
    changes = torch.tensor([[-9.0, -8, 1], [-7, -1, 2], [-6, -5, -0.1]])
    assert disjoint(changes, 3, -0.5).tolist() == [[0, 0], [2, 1]]
    assert disjoint(changes, 1, -0.5).tolist() == [[0, 0]]
    assert disjoint(changes, 3, -99.0).shape == (0, 2)


@pytest.mark.parametrize("biased", [True, False])
def test_the_loss_is_that_of_the_refit_on_the_students_moments(biased):
    model = tiny("bert" if biased else "llama")
    site = anatomy(model)[("encoder.layer.0" if biased else "layers.0") + ":neurons"]
    width = site.units
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(80, width, generator=generator) @ torch.randn(width, width, generator=generator)
    y = torch.randn(80, model.config.hidden_size, generator=generator) + 2 + x[:, :1]
    seen = Moments.zeros(width, y.shape[1], x.device)
    seen.add(x, y)
    stays = torch.arange(width) < width // 2
    reader = Reader(model, site, stays, seen.flush())
    repair = Swap(ridge=0.03)

    def left(mask):
        """What ridge regression leaves, by numpy, the ridge that of the whole pool."""
        rows, goal = x.double().numpy(), y.double().numpy()
        if biased:
            rows, goal = rows - rows.mean(0), goal - goal.mean(0)
        r = 0.03 * (rows**2).sum() / width
        own = rows[:, mask]
        prior = reader.weight.double().numpy()[mask]
        above = np.concatenate([own, np.sqrt(r) * np.eye(own.shape[1])])
        below = np.concatenate([goal, np.sqrt(r) * prior])
        fitted = np.linalg.lstsq(above, below, rcond=None)[0]
        gone = r * (reader.weight.double().numpy()[~mask] ** 2).sum()
        return ((above @ fitted - below) ** 2).sum() + gone

    before = left(stays.numpy())
    repair.mend(reader)
    after = left(reader.stays.numpy())
    assert int(reader.stays.sum()) == int(stays.sum())
    assert after < before
    others = [left(mask.numpy()) for mask in exchanges(reader.stays).values()]
    assert min(others) > after * (1 - 1e-5)


@pytest.mark.parametrize("score", ["obs", "magnitude"])
@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_what_is_exchanged_keeps_its_counts(family, score):
    model = tiny(family)
    data = [batch_of(model, 6, seed=seed) for seed in range(2)]
    kinds = ("heads", "neurons") if family != "llama" else ("queries", "neurons")
    job = job_of(
        model, anatomy(model).of(*kinds), data, score=score, budget={"density": 0.5},
        recover=["swap", "least_squares"],
    )  # fmt: skip
    chosen = job.select(job.score(Plan()), Plan())
    plan = build("drive", "oneshot").run(job)
    assert plan.counts() == chosen.counts()
    assert torch.isfinite(outputs(finish(job, plan), data[0])).all()
