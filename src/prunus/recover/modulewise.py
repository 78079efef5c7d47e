"""Each pruned sublayer trained alone, towards what the dense one makes of the same input."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from prunus.errors import PrunusError
from prunus.probe._apart import Calls
from prunus.probe.loss import Batch
from prunus.recover._epochs import Epochs
from prunus.recover._repair import Repair
from prunus.recover._variant import Variant
from prunus.safe import SafePoints

Passes = Callable[[list[int] | None], Iterable[tuple[Batch, Calls]]]
"""Passes of the dense model over its data: over some batches in an order, or what was held out."""
TINY = torch.finfo(torch.float32).tiny
"""Of a sublayer that gives nothing there is nothing to learn."""


@dataclass(frozen=True)
class Look:
    """The error of a variant after an epoch, relative to the square of the dense output.

    Attributes:
        epoch: how many epochs are over.
        training: mean over the epoch's batches; None before the first.
        validation: on the data that was held out.
    """

    epoch: int
    training: float | None
    validation: float


class Modulewise(Repair):
    """Gradient descent on every sublayer by itself (Guan, Shen and Lim, PLDI 2019: Wootz).

    The loss is the squared error of what the reader gives, relative to the square of what the dense
    one gives, so that all sublayers weigh the same; padding does not count, the dense model answers
    in evaluation mode, and what is given is the dense model's. All variants learn in one pass over
    the data, and none depends on which others do. The learning rate rises and falls to zero. The
    weights of the epoch with the least error on held-out data are kept, those before training
    included.

    Attributes:
        epochs: at most so many passes over the data.
        learning_rate: its highest value (AdamW without decay), as a multiple of the root mean
            square of each tensor: tensors are of very different sizes in different families.
        warmup_ratio: the fraction of the training in which it rises.
        patience: a variant rests for good after so many epochs without a lower error.
        seed: of the order of the batches.
    """

    at: ClassVar[Literal["reader", "entry", "weights", "module"]] = "module"
    epochs: PositiveInt = 4
    learning_rate: PositiveFloat = 0.03
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.05
    patience: PositiveInt = 3
    seed: NonNegativeInt = 0

    def tune(
        self,
        variants: Mapping[str, Variant],
        passes: Passes,
        batches: int,
        computing: Callable[[], AbstractContextManager] = nullcontext,
        told: Callable[[int, int], None] = lambda done, of: None,
        safe: SafePoints | None = None,
    ) -> dict[str, list[Look]]:
        """Train variants in place.

        Args:
            variants: by any name.
            passes: of the dense model, which runs at all of their sites.
            batches: how many there are to learn from.
            computing: a context for forward passes, such as autocast.
            told: of the passes that are over, and of how many.
            safe: what was found, and outlives the process; every epoch is kept.

        Returns:
            {variant: its errors, before the first epoch and after each}.

        Raises:
            PrunusError: an error is not finite.
        """
        errors = held_out(variants, passes(None), computing)
        learners = {
            name: _Learner(name, own, [Look(0, None, errors[name])], own.tensors())
            for name, own in variants.items()
            if own.mask.any()
        }
        if learners:
            self._descend(learners, passes, batches, computing, told, safe or SafePoints())
        for one in learners.values():
            one.done()
        looks = {name: one.looks for name, one in learners.items()}
        return {name: looks.get(name, [Look(0, None, errors[name])]) for name in variants}

    def _descend(
        self,
        learners: Mapping[str, "_Learner"],
        passes: Passes,
        batches: int,
        computing: Callable[[], AbstractContextManager],
        told: Callable[[int, int], None],
        safe: SafePoints,
    ) -> None:
        """Train until all epochs are over, or everybody rests."""
        groups = [group for one in learners.values() for group in one.groups(self.learning_rate)]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        steps, drawn = self.epochs * batches, torch.Generator()
        pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step, steps))
        epochs = Epochs(learners, optimizer, pace, safe)
        for epoch in range(epochs.resumed(Look) + 1, self.epochs + 1):
            awake = {name: one for name, one in learners.items() if one.rested < self.patience}
            if not awake:
                break
            order = torch.randperm(batches, generator=drawn.manual_seed(self.seed + epoch))
            for _, calls in passes(order.tolist()):
                for one in awake.values():
                    with torch.enable_grad(), computing():
                        one.learn(calls)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                pace.step()
            learnt = {name: one.variant for name, one in awake.items()}
            for name, error in held_out(learnt, passes(None), computing).items():
                awake[name].look(epoch, error)
            told(epoch, self.epochs)
            epochs.keep(epoch)

    def _rate(self, step: int, steps: int) -> float:
        way = (step + 0.5) / steps
        rising = way / self.warmup_ratio if self.warmup_ratio else 1.0
        return max(0.0, min(rising, (1 - way) / (1 - self.warmup_ratio)))


def held_out(
    variants: Mapping[str, Variant],
    seen: Iterable[tuple[Batch, Calls]],
    computing: Callable[[], AbstractContextManager] = nullcontext,
) -> dict[str, float]:
    """{variant: relative squared error} over some passes of the dense model."""
    sums = {name: torch.zeros(2, dtype=torch.float64) for name in variants}
    with torch.no_grad(), computing():
        for _, calls in seen:
            for name, own in variants.items():
                sums[name] += torch.stack(own.error(calls[own.site.name])).double().cpu()
    return {name: float(off / of) if of else 0.0 for name, (off, of) in sums.items()}


@dataclass
class _Learner:
    """A variant that learns."""

    name: str
    variant: Variant
    looks: list[Look]
    best: dict[str, Tensor]
    rested: int = 0
    losses: list[Tensor] = field(default_factory=list)

    def groups(self, rate: float) -> list[dict[str, object]]:
        """One group of parameters a tensor, at a rate in proportion to its size."""
        tensors = self.variant.parameters.values()
        sizes = [_size(own) for own in tensors if own.dim() > 1]
        mean, found = sum(sizes) / len(sizes), []
        for own in tensors:
            own.requires_grad_(True)
            size = _size(own) if own.dim() > 1 else mean
            found.append({"params": [own], "lr": rate * size})
        if not self.variant.site.removable:
            weight = self.variant.parameters[self.variant.site.inlet.tensor]
            stays = weight.detach() != 0
            weight.register_hook(lambda gradient: gradient * stays)
        return found

    def learn(self, calls: Calls) -> None:
        """Take in one batch."""
        off, of = self.variant.error(calls[self.variant.site.name])
        loss = off / of.clamp(min=TINY)
        loss.backward(inputs=[*self.variant.parameters.values()])
        self.losses.append(loss.detach())

    def look(self, epoch: int, error: float) -> None:
        """After an epoch, see whether it became better.

        Raises:
            PrunusError: it is not finite.
        """
        training = float(torch.stack(self.losses).mean())
        self.losses.clear()
        if not error < float("inf"):
            raise PrunusError(
                f"recover: modulewise: the error of {self.name} is not finite; lower learning_rate"
            )
        better = error < min(look.validation for look in self.looks)
        self.looks.append(Look(epoch, training, error))
        self.rested = 0 if better else self.rested + 1
        if better:
            self.best = self.variant.tensors()

    def done(self) -> None:
        """Go back to the best."""
        self.variant.write(self.best)
        for own in self.variant.parameters.values():
            own.requires_grad_(False)


def _size(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())
