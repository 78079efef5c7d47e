"""transformers' Trainer, with the losses and the order of this project."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer

from prunus.trainer._pace import Pace

Inputs = dict[str, Any]
Loss = Callable[[nn.Module, Inputs], Tensor]


class Loop(Trainer):
    """A Trainer that takes any loss, the learning rate from a pace, and the order of examples."""

    def __init__(
        self,
        *,
        loss: Loss | None,
        pace: Pace | None,
        order: torch.Generator | None,
        groups: Sequence[Mapping[str, Any]] = (),
        **settings: Any,
    ) -> None:
        """A Trainer with ``settings``; its own loss, schedule and order where none are given."""
        super().__init__(**settings)
        self._loss, self._pace, self._order, self._groups = loss, pace, order, groups
        self.sums = torch.zeros(2, dtype=torch.float64)  # of losses: all, and when last logged
        self.logged = 0
        if loss is not None:  # a mean of its batch, to be divided by the batches of a step
            self.model_accepts_loss_kwargs = False

    def training_step(self, *given: Any, **more: Any) -> Tensor:
        """One batch, whose loss counts where it is finite."""
        loss: Any = super().training_step(*given, **more)
        self.sums[0] += float(loss) if loss.isfinite() else 0.0
        return loss

    def log(self, logs: dict[str, float], *given: Any, **more: Any) -> None:
        """Logs the mean loss since the last time, also where the training was taken up between."""
        if "loss" in logs:
            steps = self.state.global_step - self.logged
            logs["loss"] = float(self.sums[0] - self.sums[1]) / steps
            self.sums[1], self.logged = self.sums[0], self.state.global_step
        super().log(logs, *given, **more)

    def compute_loss(self, model: nn.Module, inputs: Inputs, *args: Any, **kwargs: Any) -> Any:
        """The given loss, or the model's own."""
        if self._loss is None:
            return super().compute_loss(model, inputs, *args, **kwargs)
        return self._loss(model, inputs)

    def _get_train_sampler(self, *given: Any) -> Any:
        """The sampler, which draws from the given order."""
        sampler: Any = super()._get_train_sampler(*given)
        if self._order is not None and hasattr(sampler, "generator"):
            sampler.generator = self._order
        return sampler

    def create_optimizer(self, *given: Any) -> torch.optim.Optimizer:
        """The optimizer, with parameters in groups of their own that are given such."""
        made: torch.optim.Optimizer = super().create_optimizer(*given)
        own = {id(one) for group in self._groups for one in group["params"]}
        for group in made.param_groups if own else ():
            group["params"] = [one for one in group["params"] if id(one) not in own]
        for group in self._groups:
            made.add_param_group(dict(group))
        return made

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """The pace's learning rates, or those that the arguments name."""
        if self._pace is None:
            return super().create_scheduler(num_training_steps, optimizer)
        chosen: Any = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(chosen, self._pace.rate)
        return self.lr_scheduler
