"""Which examples two models answer differently."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from prunus.task._quality import Quality

RIGHT = 0.5
"""The score from which an answer counts as right: of a class it is 0 or 1, of a span its F1."""


@dataclass(frozen=True)
class Asked:
    """An example: its texts, and what is right."""

    texts: tuple[str, ...]
    right: str


@dataclass(frozen=True)
class Answer:
    """What a model said: the probability it gave to it, or how right it is, where there is such."""

    text: str
    confidence: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class Change:
    """An example that two models answer differently."""

    asked: Asked
    dense: Answer
    pruned: Answer


@dataclass(frozen=True)
class Changes:
    """Changes of one kind: how many there are, and those that say most."""

    n: int
    examples: Sequence[Change]


def changed(dense: Quality, pruned: Quality) -> dict[str, list[int]]:
    """The rows of the examples that are answered otherwise, by kind, those that say most first.

    Returns:
        For translations ``worse`` and ``better`` by their scores, the greatest change first.
        For classes and spans ``right_to_wrong``, ``wrong_to_right`` and ``wrong_otherwise``: the
        most confident of the pruned model's answers first, or the greatest change of F1; a span is
        right from an F1 of a half. For numbers ``largest_change``: every example, the
        largest change first.
    """
    if pruned.predictions.is_floating_point():
        gap = (pruned.predictions - dense.predictions).abs()
        return {"largest_change": gap.argsort(descending=True, stable=True).tolist()}
    if pruned.counts is not None:
        return _graded(pruned.scores - dense.scores)
    before, after = dense.scores >= RIGHT, pruned.scores >= RIGHT
    kinds = {
        "right_to_wrong": before & ~after,
        "wrong_to_right": ~before & after,
        "wrong_otherwise": ~before & ~after & (dense.predictions != pruned.predictions),
    }
    sure = pruned.confidences
    weight = (pruned.scores - dense.scores).abs() if sure is None else sure
    order = weight.argsort(descending=True, stable=True)
    return {kind: order[member[order]].tolist() for kind, member in kinds.items()}


def _graded(gain: Tensor) -> dict[str, list[int]]:
    """Rows that lost, those that lost most first, and rows that gained likewise."""
    order = gain.argsort(stable=True)
    worse, better = order[gain[order] < 0], order.flip(0)
    return {"worse": worse.tolist(), "better": better[gain[better] > 0].tolist()}
