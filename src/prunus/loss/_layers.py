"""Which layers of a student and of its teacher are compared, and where."""

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import Tensor

from prunus.errors import PrunusError
from prunus.loss._term import Output
from prunus.probe._tokens import like, real_tokens
from prunus.probe.loss import Batch
from prunus.shares import samples_of, weighed

Layers = Literal["last", "all"] | tuple[int, ...]
HIDDEN, ATTENTIONS = "hidden_states", "attentions"
STACKS = ("", "encoder_", "decoder_", "cross_")


def pairs(
    kind: str, layers: Layers, student: Output, teacher: Output
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(stack, the student's, the teacher's) of every chosen layer of every stack.

    Layer k of n in the student is held to layer ceil(k m / n) of the m in the teacher, 0 (the
    embeddings) to 0: evenly, the last to the last.

    Args:
        kind: ``HIDDEN``, the embeddings and what each layer gives, or ``ATTENTIONS``.
        layers: which of the student's.
        student: what the student gives.
        teacher: what the teacher gives.

    Raises:
        PrunusError: one of the two lacks them, or the student has no such layer.
    """
    own, goal = (
        {stack: out[stack + kind] for stack in STACKS if out.get(stack + kind)}
        for out in (student, teacher)
    )
    if not own or own.keys() != goal.keys():
        raise PrunusError(
            f"loss: the student gives {kind} of {_named(own)}, the teacher of {_named(goal)}; both"
            " must give the same"
        )
    first = int(kind == ATTENTIONS)  # hidden states begin with the embeddings, layer 0
    for stack, tensors in own.items():
        depth, others = (len(each) - 1 + first for each in (tensors, goal[stack]))
        for index in _chosen(layers, len(tensors), stack + kind):
            place = -(-(index + first) * others // depth) if depth else others
            yield stack, tensors[index], goal[stack][place - first]


def _named(found: dict[str, Sequence[Tensor]]) -> str:
    return ", ".join(stack.rstrip("_") or "its layers" for stack in found) or "no layer"


def _chosen(layers: Layers, count: int, what: str) -> Sequence[int]:
    if isinstance(layers, str):
        return range(count) if layers == "all" else [count - 1]
    for index in layers:
        if not -count <= index < count:
            raise PrunusError(
                f"loss: there is no layer {index}: the student has {count} {what}, numbered from 0"
                f" to {count - 1}"
            )
    return [index % count for index in layers]


def mean_over(stack: str, each: Tensor, batch: Batch, padding: bool = False) -> Tensor:
    """[] the mean over tokens.

    Args:
        stack: whose tokens.
        each: [sample, token].
        batch: what they were made of.
        padding: whether it counts.
    """
    side = "decoder." if stack in ("decoder_", "cross_") else ""

    def real(of: Batch, x: Tensor) -> Tensor | None:
        return None if padding else real_tokens(of, side, x[..., None])

    def count(of: Batch) -> int:
        found = real(of, like(each, of))
        return samples_of(of) if found is None else int(found.sum())

    found = real(batch, each)
    mean = each.mean() if found is None else _mean(each, found)
    return weighed(mean, batch, count)


def _mean(each: Tensor, real: Tensor) -> Tensor:
    return each.masked_fill(~real, 0).sum() / real.sum().clamp(min=1)
