"""The sum of terms that a training minimises."""

import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import find_labels

from prunus.errors import PrunusError
from prunus.loss._eager import eager
from prunus.loss._layers import ATTENTIONS, HIDDEN
from prunus.loss._term import Output, Term
from prunus.probe._frozen import frozen
from prunus.probe.loss import Batch
from prunus.registry import build

CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


class Objective:
    """The weighted sum of terms, as a loss to train by: ``objective(model, batch)``.

    One pass of the student, and one of the teacher where a term needs it: in evaluation mode,
    without gradients, on the student's device (to which it is moved), in its own precision.

    Attributes:
        terms: by name.
        teacher: whose answers, hidden states or attention maps are targets.
    """

    def __init__(
        self, terms: Iterable[str | Mapping[str, Any] | Term], teacher: Any = None
    ) -> None:
        """A sum of ``terms``: names, mappings of a name and settings, or the parts themselves.

        Raises:
            PrunusError: there is no term, one is named twice, or one needs a teacher that is not
                given.
        """
        self.terms: dict[str, Term] = {}
        for term in (build("loss", spec) for spec in terms):
            name = CAPITAL.sub("_", type(term).__name__).lower()
            if name in self.terms:
                raise PrunusError(f"loss: {name} is there twice; name a term once, with its weight")
            self.terms[name] = term
        if not self.terms:
            raise PrunusError("loss: no terms; name at least one, such as labels or logits")
        self._reads = {what for term in self.terms.values() for what in term.reads}
        taught = [name for name, term in self.terms.items() if term.taught]
        if taught and teacher is None:
            raise PrunusError(f"loss: {', '.join(taught)}: there is no teacher; give one")
        self.teacher = teacher if taught else None
        self._student: nn.Module | None = None
        self._values: dict[str, Tensor] = {}

    @property
    def last(self) -> dict[str, float]:
        """The value of every term at the last call, not weighted; reading it waits for a GPU."""
        return {name: float(value) for name, value in self._values.items()}

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """[] the sum over terms of weight * value, for a batch of keyword arguments.

        Raises:
            PrunusError: a term's, or the teacher does not fit the student.
        """
        if model is not self._student:
            self._require(model)
            self._student = model
        student = self._seen(model, batch)
        teacher: Output = {}
        if self.teacher is not None:
            self._beside(model)
            with frozen(self.teacher), torch.no_grad():
                teacher = self._seen(self.teacher, batch)
        values = {name: term.value(student, teacher, batch) for name, term in self.terms.items()}
        self._values = {name: value.detach() for name, value in values.items()}
        return torch.stack([self.terms[name].weight * values[name] for name in values]).sum()

    def check(self, model: nn.Module, batch: Batch) -> None:
        """Try one batch, so that what does not fit is told before a training begins.

        Raises:
            PrunusError: what :meth:`__call__` would raise.
        """
        with frozen(model), torch.no_grad():
            self(model, batch)
        self._values = {}

    def _seen(self, model: nn.Module, batch: Batch) -> Output:
        """What a model gives; labels only where the student shall make a loss of them."""
        graded = "loss" in self._reads and model is not self.teacher
        asked = {f"output_{what}": True for what in (HIDDEN, ATTENTIONS) if what in self._reads}
        with eager(model) if ATTENTIONS in self._reads else nullcontext():
            return model(**(batch if graded else _unlabelled(model, batch)), **asked)

    def _beside(self, model: nn.Module) -> None:
        device = next(model.parameters()).device
        if next(self.teacher.parameters()).device != device:
            self.teacher.to(device)

    def _require(self, model: nn.Module) -> None:
        """The teacher reads the student's tokens, and does not change with it."""
        if self.teacher is None:
            return
        learnt = {id(weight) for weight in model.parameters() if weight.requires_grad}
        shared = [n for n, weight in self.teacher.named_parameters() if id(weight) in learnt]
        if shared:
            raise PrunusError(
                f"loss: the teacher shares {len(shared)} weights with the student, such as"
                f" {shared[0]}, and would change with it; give copy.deepcopy(model)"
            )
        own, goal = (_head(one) for one in (model, self.teacher))
        sizes = [_vocabulary(one) for one in (own, goal)]
        if sizes[0] != sizes[1]:
            raise PrunusError(
                f"loss: the student's vocabulary has {sizes[0]} tokens, the teacher's {sizes[1]};"
                " the same texts must be the same numbers: take a teacher with its tokenizer"
            )
        for term in self.terms.values():
            if term.taught:
                term.require(own, goal)


def _head(model: nn.Module) -> Any:
    """The transformers model inside whatever it is wrapped in."""
    return next((own for own in model.modules() if isinstance(own, PreTrainedModel)), model)


def _vocabulary(model: Any) -> int | None:
    return getattr(model.config.get_text_config(), "vocab_size", None)


def _unlabelled(model: nn.Module, batch: Batch) -> Batch:
    """A batch without labels; a decoder that would have read them still does."""
    head = _head(model)
    labels = set(find_labels(type(head)))
    rest = {name: tensor for name, tensor in batch.items() if name not in labels}
    shifted = getattr(head, "prepare_decoder_input_ids_from_labels", None)
    if shifted is not None and "labels" in batch and "decoder_input_ids" not in batch:
        rest["decoder_input_ids"] = shifted(labels=batch["labels"])
    return rest
