"""What a mean hides: how far confidence is from accuracy, and how each class fares."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.task._quality import Quality

BINS = 15


@dataclass(frozen=True)
class Recall:
    """Of ``n`` examples of a class, how many were found, in percent; nan where there is none."""

    n: int
    value: float


def calibration_error(quality: Quality, bins: int = BINS) -> float | None:
    """The expected calibration error in percent; None where answers have no confidence.

    ECE = sum over bins of |B| / n * |accuracy(B) - mean confidence(B)|, for bins of equal width
    (Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599, eq. 3).

    Args:
        quality: predictions of classes, with their confidences.
        bins: parts of the interval from 0 to 1.
    """
    if quality.confidences is None:
        return None
    sure = quality.confidences.double()
    place = (sure * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64).index_add(0, place, quality.scores - sure)
    return 100 * gaps.abs().sum().item() / quality.n


def recalls(predictions: Tensor, labels: Tensor, classes: int) -> list[Recall]:
    """Of each class, how many examples there are and what share of them is found.

    Args:
        predictions: ``[example]`` class index.
        labels: ``[example]`` class index.
        classes: how many classes there are.
    """
    of = torch.bincount(labels, minlength=classes)
    found = torch.bincount(labels[predictions == labels], minlength=classes)
    shares = (100 * found.double() / of).tolist()
    return [Recall(n, share) for n, share in zip(of.tolist(), shares, strict=True)]
