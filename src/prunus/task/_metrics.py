"""Metrics on ``[example]`` tensors, in percent: accuracy, f1, matthews, pearson, spearman."""

from collections.abc import Callable

import torch
from torch import Tensor

REPEATS = 1000


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of examples whose class is right."""
    return 100 * (predictions == labels).double().mean().item()


def f1(predictions: Tensor, labels: Tensor) -> float:
    """F1 of class 1 where there are two classes, the mean over the classes where there are more."""
    table = _confusion(predictions, labels)
    hits = table.diagonal()
    score = 2 * hits / (table.sum(0) + table.sum(1)).clamp(min=1)
    seen = (table.sum(0) + table.sum(1)) > 0
    return 100 * (score[1] if len(table) == 2 else score[seen].mean()).item()


def matthews(predictions: Tensor, labels: Tensor) -> float:
    """Correlation of predicted and true classes; 0 where either is constant (Gorodkin 2004)."""
    table = _confusion(predictions, labels)
    guessed, true, n = table.sum(0), table.sum(1), table.sum()
    above = table.trace() * n - guessed @ true
    below = ((n**2 - guessed @ guessed) * (n**2 - true @ true)).sqrt()
    return 100 * (above / below).item() if below > 0 else 0.0


def pearson(predictions: Tensor, labels: Tensor) -> float:
    """Linear correlation; 0 where either side is constant."""
    return 100 * products(predictions, labels).mean().item()


def spearman(predictions: Tensor, labels: Tensor) -> float:
    """Correlation of ranks, equal values sharing their mean rank; 0 where a side is constant."""
    return pearson(ranks(predictions), ranks(labels))


def products(predictions: Tensor, labels: Tensor) -> Tensor:
    """Each example's part ``[example]`` in the linear correlation, which is their mean."""
    return _standard(predictions) * _standard(labels)


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1, ``[example]`` float64; equal values share their mean rank."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2).double()[place]


def bootstrap(statistic: Callable[[Tensor], float], n: int, seed: int) -> float:
    """Standard error of a statistic of rows: its spread over 1000 resamples of ``n`` examples."""
    generator = torch.Generator().manual_seed(seed)
    samples = [statistic(torch.randint(n, (n,), generator=generator)) for _ in range(REPEATS)]
    return torch.tensor(samples).std().item()


def _confusion(predictions: Tensor, labels: Tensor) -> Tensor:
    """Counts ``[true class, predicted class]``, float64, of two classes or more."""
    size = max(2, 1 + int(torch.maximum(predictions, labels).max()))
    counts = torch.bincount(labels * size + predictions, minlength=size**2)
    return counts.reshape(size, size).double()


def _standard(values: Tensor) -> Tensor:
    centred = values.double() - values.double().mean()
    spread = centred.square().mean().sqrt()
    return centred / spread if spread > 0 else centred


Metric = Callable[[Tensor, Tensor], float]
CLASSES: dict[str, Metric] = {"accuracy": accuracy, "f1": f1, "matthews": matthews}
NUMBERS: dict[str, Metric] = {"spearman": spearman, "pearson": pearson}
