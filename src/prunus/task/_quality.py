"""How good predictions are, with the standard error of that number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from prunus.errors import PrunusError
from prunus.task._metrics import CLASSES, NUMBERS, bootstrap, products, ranks, spearman


@dataclass(frozen=True, eq=False)
class Quality:
    """A metric on a split, with what is needed to compare it example by example.

    Attributes:
        metric: name of the headline metric.
        value: in percent, correlations too.
        stderr: standard error of ``value``, in the same unit: binomial for an accuracy, that of
            the mean over the questions for spans of a text, a seeded bootstrap over the examples
            for the rest.
        n: number of examples.
        predictions: ``[example]`` class index, number or fingerprint of a text, in the order of
            the split.
        scores: ``[example]`` 1 where the class is right, else 0; F1 of a span, from 0 to 1; for a
            correlation each example's part in it. 100 times their mean is the accuracy, F1 or
            correlation.
        extra: the other metrics, in percent.
    """

    metric: str
    value: float
    stderr: float
    n: int
    predictions: Tensor
    scores: Tensor
    extra: Mapping[str, float]

    def __str__(self) -> str:
        extra = "".join(f", {name} {value:.2f}" for name, value in self.extra.items())
        return f"{self.metric} {self.value:.2f} ± {self.stderr:.2f} (n = {self.n}{extra})"


def assess(predictions: Tensor, labels: Tensor, metrics: Sequence[str], seed: int = 0) -> Quality:
    """The quality of predictions.

    Args:
        predictions: ``[example]`` class index or number.
        labels: ``[example]`` of the same kind.
        metrics: names, the headline first.
        seed: of the bootstrap.
    """
    known = CLASSES | NUMBERS
    headline, *others = metrics
    value = known[headline](predictions, labels)
    return Quality(
        metric=headline,
        value=value,
        stderr=_stderr(headline, value, predictions, labels, seed),
        n=len(labels),
        predictions=predictions,
        scores=_scores(headline, predictions, labels),
        extra={name: known[name](predictions, labels) for name in others},
    )


def agreement(a: Quality, b: Quality) -> float:
    """How alike two models answer: share of equal answers, or Spearman correlation of numbers.

    Raises:
        PrunusError: they did not answer the same number of examples.
    """
    if a.n != b.n:
        raise PrunusError(f"agreement: {a.n} and {b.n} examples cannot be compared; use one split")
    if a.predictions.is_floating_point():
        return spearman(a.predictions, b.predictions) / 100
    return (a.predictions == b.predictions).double().mean().item()


def _stderr(metric: str, value: float, predictions: Tensor, labels: Tensor, seed: int) -> float:
    if metric == "accuracy":
        return (value * (100 - value) / len(labels)) ** 0.5
    return bootstrap((CLASSES | NUMBERS)[metric], predictions, labels, seed)


def _scores(metric: str, predictions: Tensor, labels: Tensor) -> Tensor:
    if metric == "spearman":
        return products(ranks(predictions), ranks(labels))
    return (
        products(predictions, labels) if metric == "pearson" else (predictions == labels).double()
    )
