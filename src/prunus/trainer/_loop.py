"""transformers' Trainer, with the losses, the order and the shares of this project."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from prunus import ranks
from prunus.errors import PrunusError
from prunus.shares import Share, weighed_loss
from prunus.trainer._pace import Pace

Inputs = dict[str, Any]
Loss = Callable[[nn.Module, Inputs], Tensor]
EPOCHS, STEPS = 10**6, 10**9
"""More than any training has, to tell those of one seed from those of the next."""


@dataclass(frozen=True)
class Step:
    """What this process learns from in one step: the shares of its passes, one after the other."""

    shares: Sequence[Share]


class Order(TrainerCallback):
    """The order of an epoch's examples, and what is drawn while a batch is made of them.

    The one depends on the seed and the number of the epoch alone, the other on the seed and the
    number of the batch, so that a training goes on in the same way wherever it is taken up.
    """

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self.drawn = torch.Generator()
        self._seed = self._batch = 0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the epoch's order."""
        self.drawn.manual_seed(args.seed * EPOCHS + int(state.epoch or 0))
        self._seed, self._batch = args.seed, state.global_step

    @contextmanager
    def next_batch(self) -> Iterator[None]:
        """While the block runs, torch draws what belongs to the batch that comes next."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(self._seed * STEPS + self._batch)
            self._batch += 1
            yield


@dataclass(frozen=True)
class Division:
    """Makes the batch of a step, on every process, and cuts it into shares.

    As each process makes the whole batch, padding and draws are those of one process by itself, and
    each knows how many answers there are.

    Attributes:
        collate: makes a batch of examples.
        passes: of every process in a step; None is one, of every process over all of the batch.
        shifted: see :class:`prunus.shares.Share`.
        order: of the examples.
    """

    collate: Callable[[list[Any]], Mapping[str, Any]]
    passes: int | None
    shifted: bool
    order: Order

    def __call__(self, rows: list[Any]) -> Step:
        """This process's part of a batch."""
        with self.order.next_batch():
            whole = self.collate(rows)
        if self.passes is None:
            return Step([Share(whole)])
        count = ranks.world()
        places = range(ranks.rank(), count * self.passes, count)
        return Step([Share(whole, place, count * self.passes, self.shifted) for place in places])

    def require(self, size: int) -> None:
        """Check that batches of a size can be divided.

        Raises:
            PrunusError: they cannot.
        """
        parts = ranks.world() * (self.passes or 0)
        if parts and size % parts:
            raise PrunusError(
                f"training.batch_size: a step has {size} examples, which {ranks.world()} processes"
                f" in {self.passes} passes each cannot share equally; say a multiple of {parts}"
            )


class Loop(Trainer):
    """A Trainer that takes any loss, the learning rate from a pace, and the order of examples.

    Its batches are the steps' own, whatever the number of processes and of passes.
    """

    def __init__(
        self,
        *,
        loss: Loss | None,
        pace: Pace | None,
        passes: int | None,
        collate: Callable[[list[Any]], Mapping[str, Any]],
        groups: Sequence[Mapping[str, Any]] = (),
        callbacks: Sequence[TrainerCallback] = (),
        model: Any,
        **settings: Any,
    ) -> None:
        """A Trainer with ``settings``; its own loss and schedule where none are given.

        Raises:
            PrunusError: its batches cannot be divided.
        """
        shifted = getattr(model, "loss_type", None) == "ForCausalLM"
        order = Order()
        division: Any = Division(collate, passes, shifted, order)
        super().__init__(
            model=model, data_collator=division, callbacks=[order, *callbacks], **settings
        )
        division.require(self.args.per_device_train_batch_size)
        self._loss, self._pace, self._order, self._groups = loss, pace, order, groups
        self.sums = torch.zeros(2, dtype=torch.float64)  # of losses: all, and when last logged
        self.logged = 0
        self.model_accepts_loss_kwargs = False  # losses are means of a share, and weighed as such

    def get_train_dataloader(self) -> DataLoader:
        """Steps, in the same order on every process."""
        loader = super().get_train_dataloader()
        sharded: Any = loader.batch_sampler
        if ranks.world() > 1:  # each process takes its share of every batch, not every other batch
            sharded.num_processes, sharded.process_index = 1, 0
            sharded.even_batches = False
        return loader

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: Any) -> Any:
        """The steps that come next; nothing is counted, as shares know what they count."""
        return list(islice(epoch_iterator, num_batches)), None

    def floating_point_ops(self, inputs: Any) -> int:
        """Nobody asks."""
        return 0

    def training_step(self, model: nn.Module, inputs: Any, *_: Any) -> Tensor:
        """Go through a step's shares; processes exchange gradients after the last.

        The loss of a step counts where it is finite.
        """
        losses, shares = [], inputs.shares
        self.current_gradient_accumulation_steps = len(shares)
        for later, share in zip(range(len(shares))[::-1], shares, strict=True):
            with self.accelerator.no_sync(model) if later else nullcontext():
                losses.append(super().training_step(model, share))
        loss = torch.stack(losses).sum()
        self.sums[0] += float(loss) if loss.isfinite() else 0.0
        return loss

    def log(self, logs: dict[str, float], *given: Any, **more: Any) -> None:
        """Logs the mean loss since the last time, also where the training was taken up between."""
        if "loss" in logs:
            steps = self.state.global_step - self.logged
            logs["loss"] = float(self.sums[0] - self.sums[1]) / steps
            self.sums[1], self.logged = self.sums[0], self.state.global_step
        super().log(logs, *given, **more)

    def _prepare_inputs(self, inputs: Any) -> Any:
        return inputs.moved(super()._prepare_inputs(dict(inputs)))

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The given loss, or the model's own."""
        if self._loss is not None:
            return self._loss(model, inputs)
        own: Any = super().compute_loss(model, inputs.copy(), *args, **kwargs)
        return weighed_loss(own, inputs)

    def _get_train_sampler(self, *given: Any) -> Any:
        """The sampler, which draws from the given order."""
        sampler: Any = super()._get_train_sampler(*given)
        if hasattr(sampler, "generator"):
            sampler.generator = self._order.drawn
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
