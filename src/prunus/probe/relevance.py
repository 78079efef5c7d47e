"""Layer-wise relevance propagation: how much of a class's score each activation answers for."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor, nn

from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.probe import _rules
from prunus.probe._relevant import Kind, Relevant
from prunus.probe._rules import Linear, split
from prunus.probe._weights import merged
from prunus.probe.loss import Batch
from prunus.registry import Part

Rule = Literal["alpha_beta", "epsilon", "flat"]
Bound = float | tuple[float, ...] | None


class Relevance(Part):
    """Rules by kind of layer, and where relevance starts; the defaults are Yeom et al.'s.

    Biases have no part in any rule and batch norms are folded into the convolution before them.

    Attributes:
        conv: rule of convolutions.
        linear: rule of linear layers.
        first: rule of the layers that read the input; z_beta knows that pixels are bounded.
        alpha: of alpha_beta: R_i = sum_j (alpha (x_i w_ij)+ / z_j+ - beta (x_i w_ij)- / z_j-) R_j.
        beta: of alpha_beta, alpha - 1.
        epsilon: what keeps sums of epsilon, of residual connections and of averages from 0.
        low: least value of the input after normalisation, for all channels or each; None is the
            least of each batch.
        high: greatest value of the input.
        towards: the class that is explained: the true one, or the one that is predicted.
        start: relevance of that class: 1, or its logit.
    """

    conv: Rule = "alpha_beta"
    linear: Rule = "epsilon"
    first: Rule | Literal["z_beta"] = "z_beta"
    alpha: PositiveFloat = 1.0
    beta: NonNegativeFloat = 0.0
    epsilon: PositiveFloat = 1e-6
    low: Bound = None
    high: Bound = None
    towards: Literal["labels", "predicted"] = "labels"
    start: Literal["one", "logit"] = "one"

    @model_validator(mode="after")
    def _conserves(self) -> "Relevance":
        if abs(self.alpha - self.beta - 1) > 1e-6:
            raise PrunusError(
                f"alpha {self.alpha:g} - beta {self.beta:g} must be 1, or relevance is lost"
            )
        return self

    def begin(self, model: nn.Module, batch: Batch) -> Tensor:
        """A number whose gradient anywhere in the model is the relevance there.

        Args:
            model: an image classifier in evaluation, its weights without gradients.
            batch: keyword arguments, among them one floating tensor, the image.

        Raises:
            PrunusError: no image, no labels where they are asked for, or an operation that
                relevance cannot be followed through.
        """
        if self.towards == "labels" and "labels" not in batch:
            raise PrunusError(
                f"lrp needs labels: the batch has {sorted(batch)}; add 'labels', or say towards:"
                " predicted"
            )
        name = _image(batch)
        wanted = batch[name].requires_grad
        leaf = batch[name] if wanted else batch[name].detach().requires_grad_()

        def rule(kind: Kind, f: Linear, x: Tensor, w: Tensor, relevance: Tensor) -> Tensor | None:
            if kind == "first" and not wanted:
                return None
            return self._through(getattr(self, kind), f, x, w, relevance)

        inputs = {key: tensor for key, tensor in batch.items() if key != "labels"}
        with merged(model), Relevant(leaf, rule, self.epsilon) as seen, torch.enable_grad():
            out = model(**{**inputs, name: leaf})
        logits = out.get("logits")
        if logits is None or logits.dim() != 2:
            raise PrunusError(
                f"lrp explains classes, and {type(model).__name__} answers {list(out)}"
            )
        logits = seen.current(logits)
        return (logits * self._at(logits.detach(), batch)).sum()

    def of_input(self, model: nn.Module, batch: Batch) -> Tensor:
        """The relevance of every value of the image, of its shape; see :meth:`begin`."""
        name = _image(batch)
        leaf = batch[name].detach().requires_grad_()
        with frozen(model):
            return torch.autograd.grad(self.begin(model, {**batch, name: leaf}), leaf)[0]

    def _through(self, name: str, f: Linear, x: Tensor, w: Tensor, relevance: Tensor) -> Tensor:
        if name == "alpha_beta":
            up = split(f, _rules.positive(x, w), relevance, TINY)
            if not self.beta:
                return up
            return self.alpha * up - self.beta * split(f, _rules.negative(x, w), relevance, TINY)
        if name == "z_beta":
            low, high = _bound(self.low, x, torch.amin), _bound(self.high, x, torch.amax)
            return split(f, _rules.bounded(x, w, low, high), relevance, TINY)
        parts = _rules.flat(x, w) if name == "flat" else _rules.epsilon(x, w)
        return split(f, parts, relevance, self.epsilon)

    def _at(self, logits: Tensor, batch: Batch) -> Tensor:
        """[sample, class] the relevance that logits start with."""
        chosen = batch["labels"] if self.towards == "labels" else logits.argmax(-1)
        one = nn.functional.one_hot(chosen, logits.shape[-1]).to(logits)
        return one * logits if self.start == "logit" else one


def _image(batch: Batch) -> str:
    """The name of a batch's one floating tensor."""
    found = [name for name, tensor in batch.items() if tensor.is_floating_point()]
    if len(found) != 1:
        raise PrunusError(f"lrp explains image classifiers; the batch has {sorted(batch)}")
    return found[0]


TINY = 1e-12
"""Keeps sums of one sign from 0."""


def _bound(given: Bound, x: Tensor, extreme: Callable[..., Tensor]) -> Tensor:
    """A bound of an input, to be broadcast over it."""
    if given is None:
        return extreme(x, [dim for dim in range(x.dim()) if dim != 1 or x.dim() == 2], keepdim=True)
    values = torch.as_tensor(given).to(x).reshape(-1)
    if len(values) not in (1, x.shape[1]):
        raise PrunusError(f"lrp: bounds {given} of an input with {x.shape[1]} channels")
    return values.reshape(1, -1, *[1] * (x.dim() - 2))
