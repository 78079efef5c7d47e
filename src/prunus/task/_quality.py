"""How good predictions are, with the standard error of that number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from prunus.errors import PrunusError
from prunus.task._bleu import bleu
from prunus.task._metrics import (
    CLASSES,
    NUMBERS,
    Metric,
    accuracy,
    bootstrap,
    products,
    ranks,
    spearman,
)

NORMAL = 1.96
"""Standard errors to either side of a 95 % interval."""


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
            correlation. Of a translation its chrF, from 0 to 1.
        extra: the other metrics, in percent; a loss in nats.
        labels: ``[example]`` what is right, where that is a class or a number.
        confidences: ``[example]`` the probability that the model gives to the class it says.
        said: the answers themselves, where they are texts.
        counts: ``[example, count]`` what each example adds to a corpus, where ``value`` is of that.
        signature: how ``value`` was counted, where that has a name.
    """

    metric: str
    value: float
    stderr: float
    n: int
    predictions: Tensor
    scores: Tensor
    extra: Mapping[str, float]
    labels: Tensor | None = None
    confidences: Tensor | None = None
    said: Sequence[str] = ()
    counts: Tensor | None = None
    signature: str | None = None

    def __str__(self) -> str:
        extra = "".join(f", {name} {value:.2f}" for name, value in self.extra.items())
        return f"{self.metric} {self.value:.2f} ± {self.stderr:.2f} (n = {self.n}{extra})"


@dataclass(frozen=True)
class Difference:
    """How far a metric is ahead of another model's on the same examples.

    Attributes:
        value: in points of percent.
        margin: half the width of its 95 % interval.
    """

    value: float
    margin: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} ± {self.margin:.2f}"


def assess(
    predictions: Tensor,
    labels: Tensor,
    metrics: Sequence[str],
    seed: int = 0,
    confidences: Tensor | None = None,
) -> Quality:
    """The quality of predictions.

    Args:
        predictions: ``[example]`` class index or number.
        labels: ``[example]`` of the same kind.
        metrics: names, the headline first.
        seed: of the bootstrap.
        confidences: ``[example]`` probability of the predicted class.
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
        labels=labels,
        confidences=confidences,
    )


def agreement(a: Quality, b: Quality) -> float:
    """How alike two models answer: share of equal answers, or Spearman correlation of numbers.

    Raises:
        PrunusError: they did not answer the same number of examples.
    """
    _require_paired("agreement", a, b)
    if a.predictions.is_floating_point():
        return spearman(a.predictions, b.predictions) / 100
    return (a.predictions == b.predictions).double().mean().item()


def difference(a: Quality, b: Quality, seed: int = 0) -> Difference:
    """How far ``a`` is ahead of ``b``, compared example by example.

    The interval is 1.96 standard errors to either side: of the mean difference of the scores where
    the metric is their mean over the examples, of a bootstrap that draws the same examples for both
    models where it is not.

    Raises:
        PrunusError: they did not answer the same examples by the same metric.
    """
    _require_paired("difference", a, b)
    metric = (CLASSES | NUMBERS)[a.metric] if a.labels is not None else None
    if a.counts is None and (metric is None or metric is accuracy):
        stderr = 100 * (a.scores - b.scores).std(correction=0).item() / a.n**0.5
    else:
        stderr = bootstrap(
            lambda rows: _value(metric, a, rows) - _value(metric, b, rows), a.n, seed
        )
    return Difference(a.value - b.value, NORMAL * stderr)


def _value(metric: Metric | None, quality: Quality, rows: Tensor) -> float:
    """The metric on some of the examples."""
    if quality.counts is not None:
        return bleu(quality.counts[rows])
    assert metric is not None
    assert quality.labels is not None
    return metric(quality.predictions[rows], quality.labels[rows])


def _require_paired(what: str, a: Quality, b: Quality) -> None:
    if (a.n, a.metric) != (b.n, b.metric):
        raise PrunusError(
            f"{what}: {a.metric} and {b.metric} of {a.n} and {b.n} examples cannot be compared;"
            " use one task and split"
        )


def _stderr(metric: str, value: float, predictions: Tensor, labels: Tensor, seed: int) -> float:
    if metric == "accuracy":
        return (value * (100 - value) / len(labels)) ** 0.5
    of = (CLASSES | NUMBERS)[metric]
    return bootstrap(lambda rows: of(predictions[rows], labels[rows]), len(labels), seed)


def _scores(metric: str, predictions: Tensor, labels: Tensor) -> Tensor:
    if metric == "spearman":
        return products(ranks(predictions), ranks(labels))
    return (
        products(predictions, labels) if metric == "pearson" else (predictions == labels).double()
    )
