"""The losses whose gradients criteria ask for: on labels, or against the dense model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.probe._tokens import IGNORED, like, real_tokens
from prunus.shares import samples_of, weighed

Batch = Mapping[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]


def spaced(batches: Iterable[Batch], share: float) -> Iterable[Batch]:
    """A fraction of the batches, evenly spaced; all of them where it is 1."""
    if share == 1:
        return batches
    steps = enumerate(batches, 1)
    return [batch for i, batch in steps if ceil(i * share) > ceil((i - 1) * share)]


def labelled(model: nn.Module, batch: Batch) -> Tensor:
    """The model's own loss on the batch's labels, summed over samples (and tokens with a label).

    Models give the mean; the sum is what does not depend on how samples are put into batches.

    Raises:
        PrunusError: the batch has no labels, or the model makes no loss of them.
    """
    out = model(**batch)
    loss = out.get("loss")
    if loss is None:
        raise PrunusError(
            f"this criterion needs labels: the batch has {sorted(batch)} and {type(model).__name__}"
            " made no loss of them. Add 'labels', or use a criterion without: knowledge, magnitude"
        )
    return loss * _answers(model, batch, out.get("logits"))


def _answers(model: nn.Module, batch: Batch, logits: Tensor | None) -> Tensor | int:
    """How many answers a model's mean loss was taken over."""
    labels = batch.get("labels")
    if labels is None or logits is None or logits.dim() != 3 or labels.shape != logits.shape[:2]:
        return samples_of(batch)
    if getattr(model, "loss_type", None) == "ForCausalLM":
        labels = labels[:, 1:]  # the first token is never predicted
    return (labels != IGNORED).sum()


class Teacher:
    """The dense model's answers: targets to which pruned ones are held."""

    def __init__(self, model: nn.Module, temperature: float, batches: Iterable[Batch] = ()) -> None:
        """Take answers from ``model``, softened by ``temperature``.

        Answers to a list of ``batches`` are remembered while they have one row a sample; longer
        ones (a row a token), and those to batches that are made anew each time, are computed
        again, so that memory does not grow with the data; only the last batch's are kept.
        """
        self.model, self.temperature = model, temperature
        self._lasting = {id(batch) for batch in batches} if isinstance(batches, Sequence) else set()
        self._known: dict[int, dict[str, Tensor]] = {}
        self._last: tuple[Batch, dict[str, Tensor]] | None = None

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """How far a model is from the dense one on a batch, summed over samples.

        T^2 KL(softmax(z_dense / T) || softmax(z / T)) for classes (Hinton et al., arXiv
        1503.02531), their mean for several answers such as start and end of a span; mean squared
        error for regression and for models without a head.
        """
        return distance(model(**batch), self.answer(batch), batch, self.temperature)

    def each(self, model: nn.Module, batch: Batch) -> Tensor:
        """[sample]: what a call sums."""
        goal, out, temperature = self.answer(batch), model(**batch), self.temperature
        rows = [slice(row, row + 1) for row in range(samples_of(batch))]
        return torch.stack(
            [
                distance(
                    _at(out, goal, row), _at(goal, goal, row), _at(batch, batch, row), temperature
                )
                for row in rows
            ]
        )

    def answer(self, batch: Batch) -> dict[str, Tensor]:
        """The dense model's answers; those to the last batch are remembered.

        Raises:
            PrunusError: it gives nothing that a pruned model could be held to.
        """
        if id(batch) in self._known:
            return self._known[id(batch)]
        if self._last is not None and self._last[0] is batch:
            return self._last[1]
        with frozen(self.model), torch.no_grad():
            out = self.model(**batch)
        answer = answers(out)
        if not answer:
            raise PrunusError(
                f"{type(self.model).__name__} answers {sorted(out)}: nothing that prunus can hold"
                " a pruned model to; use a criterion that asks labels, or magnitude"
            )
        if id(batch) in self._lasting and all(tensor.dim() == 2 for tensor in answer.values()):
            self._known[id(batch)] = answer
        self._last = batch, answer
        return answer


def _at(values: Any, names: Iterable[str], row: slice) -> dict[str, Tensor]:
    """One sample of some of the values."""
    return {name: values[name][row] for name in names}


LOGITS = ("logits", "prediction_logits", "seq_relationship_logits", "start_logits", "end_logits")
VALUES = ("last_hidden_state", "reconstruction", "text_embeds", "image_embeds")


def answers(out: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a model says, by name: logits of any kind, or values where it has no head."""
    return {name: out[name] for name in (*LOGITS, *VALUES) if name in out}


def distance(out: Any, target: Mapping[str, Tensor], batch: Batch, temperature: float) -> Tensor:
    """The distance of :class:`Teacher` between a model's output and the dense answers."""
    parts = _parts(out, target, batch, temperature)
    return torch.stack([apart for apart, _ in parts]).mean()


def mean_distance(
    out: Mapping[str, Any], target: Mapping[str, Tensor], batch: Batch, temperature: float
) -> Tensor:
    """:func:`distance` of one answer on average: a sample's, or a token's where all are asked."""
    parts = zip(target, _parts(out, target, batch, temperature), strict=True)
    means = [
        weighed(apart / count, batch, partial(_asked, name, out[name]))
        for name, (apart, count) in parts
    ]
    return torch.stack(means).mean()


def _asked(name: str, z: Tensor, batch: Batch) -> int:
    """Of how many answers a mean over a batch is, told by the answers to any batch like it."""
    real = None if name in VALUES else real_answers(like(z, batch), batch)
    return samples_of(batch) if real is None else int(real.sum())


def _parts(
    out: Any, target: Mapping[str, Tensor], batch: Batch, temperature: float
) -> list[tuple[Tensor, int]]:
    """(sum of distances, over how many answers) of everything that a model says."""
    return [_apart(name, out[name], goal, batch, temperature) for name, goal in target.items()]


def _apart(
    name: str, z: Tensor, goal: Tensor, batch: Batch, temperature: float
) -> tuple[Tensor, int]:
    real = real_answers(z, batch)
    if name in VALUES or z.shape[-1] == 1:
        apart = (z - goal).square()
        if real is None:
            return apart.flatten(1).mean(1).sum(), len(z)
        each = apart.mean(-1) * real / real.sum(1, keepdim=True).clamp(min=1)
        return each.sum(), len(z)
    if real is not None:
        z, goal = z[real], goal[real]
    return _divergence(z, goal, temperature), max(1, z.shape[:-1].numel())


def real_answers(z: Tensor, batch: Batch) -> Tensor | None:
    """[sample, token] which of the answers count: those with a label, or to real tokens."""
    labels, stack = batch.get("labels"), "decoder." if "decoder_input_ids" in batch else ""
    if z.dim() != 3:
        return None
    if labels is not None and labels.shape == z.shape[:2]:
        return labels != IGNORED
    return real_tokens(batch, stack, z)


def _divergence(z: Tensor, goal: Tensor, temperature: float) -> Tensor:
    student = functional.log_softmax(z / temperature, -1)
    teacher = functional.log_softmax(goal / temperature, -1)
    return temperature**2 * functional.kl_div(student, teacher, reduction="sum", log_target=True)
