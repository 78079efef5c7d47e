import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from prunus.errors import PrunusError
from prunus.task import agreement, assess
from prunus.task._metrics import accuracy, f1, matthews, pearson, ranks, spearman

CLASSES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=40)
NUMBERS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=40)


@given(CLASSES)
def test_class_metrics_are_those_of_scikit_learn(pairs):
    guess, true = np.array(pairs).T
    assume(len({*guess, *true}) > 1)  # scikit-learn warns of a lone class
    a, b = torch.tensor(guess), torch.tensor(true)
    assert accuracy(a, b) == pytest.approx(100 * sklearn.metrics.accuracy_score(true, guess))
    assert matthews(a, b) == pytest.approx(100 * sklearn.metrics.matthews_corrcoef(true, guess))
    if max(guess.max(), true.max()) == 2:
        expected = sklearn.metrics.f1_score(true, guess, average="macro", zero_division=0)
    else:
        expected = sklearn.metrics.f1_score(true, guess, zero_division=0)
    assert f1(a, b) == pytest.approx(100 * expected)


@given(NUMBERS)
def test_correlations_are_those_of_scipy(pairs):
    guess, true = np.array(pairs, dtype=float).T
    a, b = torch.tensor(guess), torch.tensor(true)
    assert ranks(a).tolist() == scipy.stats.rankdata(guess).tolist()
    if len(set(guess)) == 1 or len(set(true)) == 1:
        assert spearman(a, b) == pearson(a, b) == 0
    else:
        assert spearman(a, b) == pytest.approx(100 * scipy.stats.spearmanr(guess, true).statistic)
        assert pearson(a, b) == pytest.approx(100 * scipy.stats.pearsonr(guess, true).statistic)


def test_the_error_of_an_accuracy_is_binomial():
    labels = torch.zeros(400, dtype=torch.long)
    quality = assess((torch.arange(400) < 40).long(), labels, ["accuracy", "f1"])
    assert quality.value == pytest.approx(90)
    assert quality.stderr == pytest.approx(1.5)
    assert quality.n == 400
    assert quality.scores.mean() == pytest.approx(0.9)
    assert list(quality.extra) == ["f1"]
    assert str(quality) == "accuracy 90.00 ± 1.50 (n = 400, f1 0.00)"


def test_the_bootstrap_is_seeded_and_agrees_with_theory():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randn(300, generator=generator)
    guesses = labels + torch.randn(300, generator=generator)
    quality = assess(guesses, labels, ["pearson"], seed=1)
    rho = quality.value / 100
    assert quality.stderr == pytest.approx(100 * (1 - rho**2) / 300**0.5, rel=0.2)
    assert quality.stderr == assess(guesses, labels, ["pearson"], seed=1).stderr
    assert quality.stderr != assess(guesses, labels, ["pearson"], seed=2).stderr


@pytest.mark.parametrize("metric", ["spearman", "pearson"])
def test_the_parts_of_a_correlation_average_to_it(metric):
    labels = torch.tensor([1.0, 2.0, 4.0, 4.0])
    quality = assess(torch.tensor([1.0, 3.0, 2.0, 9.0]), labels, [metric])
    assert 100 * quality.scores.mean() == pytest.approx(quality.value)


def test_agreement():
    labels = torch.tensor([0, 1, 1, 0])
    one = assess(torch.tensor([0, 1, 0, 0]), labels, ["accuracy"])
    two = assess(torch.tensor([0, 1, 1, 1]), labels, ["accuracy"])
    assert agreement(one, two) == 0.5
    numbers = torch.tensor([0.1, 0.2, 0.3, 0.4])
    up, down = (assess(values, numbers, ["spearman"]) for values in (numbers.exp(), -numbers))
    assert agreement(up, up) == pytest.approx(1)
    assert agreement(up, down) == pytest.approx(-1)
    with pytest.raises(PrunusError, match=r"4 and 2 examples"):
        agreement(one, assess(labels[:2], labels[:2], ["accuracy"]))
