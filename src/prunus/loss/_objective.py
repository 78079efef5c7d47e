"""The sum of terms that a training minimises."""

import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.loss._eager import eager
from prunus.loss._fit import inner, require_apart, require_same_tokens
from prunus.loss._layers import ATTENTIONS, HIDDEN
from prunus.loss._term import Output, Term
from prunus.loss._unlabelled import unlabelled
from prunus.probe.loss import Batch
from prunus.registry import build

CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


class Objective:
    """The weighted sum of terms, as a loss to train by: ``objective(model, batch)``.

    One pass of the student, and one of the teacher where a term needs it: in evaluation mode,
    without gradients, on the student's device (to which it is moved), in its own precision.

    Attributes:
        terms: by name.
        teacher: whose answers, hidden states or attention maps are targets; None where no term
            needs it.
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
        self._require(model)
        student = self._seen(model, batch, "loss" in self._reads)
        teacher = {} if self.teacher is None else self._taught(self.teacher, model, batch)
        values = {name: term.value(student, teacher, batch) for name, term in self.terms.items()}
        self._values = {name: value.detach() for name, value in values.items()}
        return torch.stack([self.terms[name].weight * values[name] for name in values]).sum()

    def check(self, model: nn.Module, batch: Batch) -> None:
        """Try one batch, so that what does not fit is told before a training begins.

        Raises:
            PrunusError: what :meth:`__call__` would raise.
        """
        self._require(model)  # before it is frozen: what learns must not be the teacher's
        with frozen(model), torch.no_grad():
            self(model, batch)
        self._values = {}

    def _seen(self, model: nn.Module, batch: Batch, graded: bool) -> Output:
        """What a model gives; labels only where it shall make a loss of them."""
        asked = {f"output_{what}": True for what in (HIDDEN, ATTENTIONS) if what in self._reads}
        with eager(model) if ATTENTIONS in self._reads else nullcontext():
            return model(**(batch if graded else unlabelled(model, batch)), **asked)

    def _taught(self, teacher: nn.Module, model: nn.Module, batch: Batch) -> Output:
        device = next(model.parameters()).device
        if next(teacher.parameters()).device != device:
            teacher.to(device)
        with frozen(teacher), torch.no_grad():
            return self._seen(teacher, batch, graded=False)

    def _require(self, model: nn.Module) -> None:
        """The teacher fits; asked once a student."""
        if self.teacher is None or model is self._student:
            return
        require_apart(model, self.teacher)
        student, teacher = inner(model), inner(self.teacher)
        require_same_tokens(student, teacher)
        for term in self.terms.values():
            term.require(student, teacher)
        self._student = model
