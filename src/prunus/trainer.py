"""The training loop: transformers' Trainer, which takes seconds to import; so import this late."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

Inputs = dict[str, Any]
Loss = Callable[[nn.Module, Inputs], Tensor]
ENDLESS = 10**9
"""Steps of a training that only the clock ends."""
EPOCHS = 10**6
"""More than any training has, to tell the epochs of one seed from those of the next."""
STATE = "guest.safetensors"
"""The file of a guest in a checkpoint."""


@dataclass(frozen=True)
class Pace:
    """How far a training is, by its steps and by the clock: whichever is further.

    The learning rate rises over ``warmup`` of the way and then falls to zero at its end, wherever
    that turns out to be. Without ``seconds`` the clock has no say, and steps alone decide.

    Attributes:
        steps: it ends after so many.
        seconds: it ends before a further step would end later than this.
        warmup: the fraction of the way on which the learning rate rises.
        told: is told the whole percents of the way that lie behind.
    """

    steps: int | None = None
    seconds: float | None = None
    warmup: float = 0.0
    told: Callable[[int], None] = lambda _: None
    began: float = field(default_factory=lambda: time.perf_counter())

    @property
    def elapsed(self) -> float:
        """Wall-clock seconds since it began."""
        return time.perf_counter() - self.began

    def way(self, step: int) -> float:
        """The fraction of the way in the middle of a step, counted from 0."""
        spent = 0.0 if self.seconds is None else self.elapsed / self.seconds
        return min(1.0, max((step + 0.5) / (self.steps or inf), spent))

    def rate(self, step: int) -> float:
        """The learning rate of a step, as a fraction of the highest."""
        way = self.way(step)
        return min(way / self.warmup if self.warmup else 1.0, (1 - way) / (1 - self.warmup))

    def over(self, done: int) -> bool:
        """Whether it ends after so many steps."""
        late = self.seconds is not None and self.elapsed * (done + 1) / done > self.seconds
        return late or done >= (self.steps or inf)


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
        if loss is not None:  # a mean of its batch, to be divided by the batches of a step
            self.model_accepts_loss_kwargs = False

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


class Attached(Protocol):
    """What a guest of a training leaves with its optimizer."""

    def save(self, path: Path) -> None:
        """Write a file from which it can go on."""
        ...

    def load(self, path: Path) -> None:
        """Go on from a file."""
        ...


@dataclass(frozen=True)
class Checkpoints:
    """Where a training is saved as it goes on, so that it can be taken up again.

    Attributes:
        folder: of the checkpoints.
        every: steps from one to the next.
    """

    folder: Path
    every: int

    @property
    def last(self) -> Path | None:
        """The last one that is whole."""
        found = [path.parent for path in self.folder.glob(f"checkpoint-*/{STATE}")]
        return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


class Guest(TrainerCallback):
    """Lets somebody in when the optimizer is there, and saves him with every checkpoint.

    The order of an epoch's examples is drawn by the seed and the number of the epoch alone, so that
    a training that is taken up in the middle of one goes on in the same order.
    """

    def __init__(
        self,
        enter: Callable[[Any, int, int], Attached],
        told: Callable[[int, int], None],
        start: Path | None,
    ) -> None:
        """``enter`` gets the optimizer, the steps of the training, and those of an epoch."""
        self._enter, self._told, self._start = enter, told, start
        self.order = torch.Generator()
        self._attached: Attached | None = None
        self._percent = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Let the guest in."""
        batches = len(given["train_dataloader"])
        epoch = max(1, batches // args.gradient_accumulation_steps)
        self._attached = self._enter(given["optimizer"], state.max_steps, epoch)
        if self._start is not None:
            self._attached.load(self._start / STATE)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the epoch's order."""
        self.order.manual_seed(args.seed * EPOCHS + int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is, once a percent."""
        percent = 100 * state.global_step // state.max_steps
        if percent > self._percent:
            self._percent = percent
            self._told(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the guest beside the network."""
        if self._attached is not None:
            self._attached.save(Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE)


class Bar(ProgressCallback):
    """The Trainer's progress bar, without the raw log lines."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Print nothing."""


class Stop(TrainerCallback):
    """Ends a training by its pace."""

    def __init__(self, pace: Pace) -> None:
        self._pace, self._percent = pace, -1

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is, and stop at the end."""
        over = self._pace.over(state.global_step)
        control.should_training_stop |= over
        percent = 100 if over else int(100 * self._pace.way(state.global_step))
        if percent > self._percent:
            self._percent = percent
            self._pace.told(percent)


def train(
    model: PreTrainedModel,
    data: Any,
    collate: Callable[[list[Any]], Mapping[str, Any]],
    folder: str | Path,
    *,
    loss: Loss | None = None,
    pace: Pace | None = None,
    bar: bool = False,
    enter: Callable[[Any, int, int], Attached] | None = None,
    optimizer: tuple[type[torch.optim.Optimizer], dict[str, Any]] | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
    checkpoints: Checkpoints | None = None,
    groups: Sequence[Mapping[str, Any]] = (),
    callbacks: Sequence[TrainerCallback] = (),
    **settings: Any,
) -> float:
    """Train a model in place.

    Args:
        model: only what requires gradients changes; the configuration does not.
        data: examples, anything with a length and places.
        collate: makes a batch of examples.
        folder: for what the Trainer may write.
        loss: of the model on a batch; None is the model's own.
        pace: when it ends, and the learning rates until then; None leaves both to ``settings``.
        bar: show a progress bar.
        enter: makes a guest of the training from its optimizer, its steps, and those of an epoch.
        optimizer: a class and its settings; None is AdamW.
        told: where there is a guest, is told of the steps that are done, and of how many.
        checkpoints: where the training is saved, and taken up again if it was; None nowhere.
        groups: parameter groups of the optimizer, with settings such as a learning rate of their
            own; all other parameters have those of the training.
        callbacks: of transformers' Trainer.
        **settings: of transformers' ``TrainingArguments``.

    Returns:
        The mean loss of all steps.
    """
    arguments = TrainingArguments(
        output_dir=str(folder if checkpoints is None else checkpoints.folder),
        max_steps=settings.pop("max_steps", ENDLESS if pace else -1),
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=settings.pop("remove_unused_columns", loss is None),
        disable_tqdm=not bar,
        logging_strategy="no",
        save_strategy="no" if checkpoints is None else "steps",
        save_steps=1 if checkpoints is None else checkpoints.every,
        save_total_limit=2,
        report_to="none",
        **settings,
    )
    start = None if checkpoints is None else checkpoints.last
    called: list[Any] = [*callbacks, *([] if pace is None else [Stop(pace)])]
    guest = None if enter is None else Guest(enter, told, start)
    if guest is not None:
        called.append(guest)
    with _unmarked(model):
        loop = Loop(
            loss=loss, pace=pace, order=guest and guest.order, model=model, args=arguments,
            data_collator=collate, train_dataset=data, callbacks=called,
            optimizer_cls_and_kwargs=optimizer, groups=groups,
        )  # fmt: skip
        for printing in (PrinterCallback, ProgressCallback):
            loop.remove_callback(printing)
        if bar:
            loop.add_callback(Bar)
        return loop.train(resume_from_checkpoint=start and str(start)).training_loss


@contextmanager
def _unmarked(model: PreTrainedModel) -> Iterator[None]:
    """The Trainer leaves marks on a model, and on its configuration, which is saved with it."""
    said, attributes = dict(vars(model.config)), set(vars(model))
    try:
        yield
    finally:
        for name in vars(model).keys() - attributes:
            delattr(model, name)
        vars(model.config).clear()
        vars(model.config).update(said)
