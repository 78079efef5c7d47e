"""The training loop: transformers' Trainer, which takes seconds to import; so import this late."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from prunus import ranks
from prunus.tracking._logs import Logs, logging
from prunus.trainer._apart import require_plain, require_second, taken_apart
from prunus.trainer._guest import Enter, Guest
from prunus.trainer._loop import Loop, Loss
from prunus.trainer._pace import Pace, Stop
from prunus.trainer._recomputed import recomputed
from prunus.trainer._saving import Checkpoints, Saving

__all__ = ["Checkpoints", "Pace", "train"]
ENDLESS = 10**9
"""Steps of a training that only the clock ends."""


class Bar(ProgressCallback):
    """The Trainer's progress bar, without the raw log lines."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Print nothing."""


def train(
    model: PreTrainedModel,
    data: Any,
    collate: Callable[[list[Any]], Mapping[str, Any]],
    folder: str | Path,
    *,
    batch_size: int = 1,
    passes: int | None = 1,
    checkpointing: bool = False,
    loss: Loss | None = None,
    pace: Pace | None = None,
    bar: bool = False,
    enter: Enter | None = None,
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
        batch_size: examples in a step, of all processes together.
        passes: in which a process goes through its part of a step; None gives every process all
            of every batch, of which the loss then takes a part.
        checkpointing: compute activations again in the backward pass.
        loss: of the model on a batch; None is the model's own.
        pace: when it ends, and the learning rates until then; None leaves both to ``settings``.
        bar: show a progress bar.
        enter: makes a guest of the training from the model in training, its optimizer, its steps,
            and those of an epoch.
        optimizer: a class and its settings; None is AdamW.
        told: where there is a guest, is told of the steps that are done, and of how many.
        checkpoints: where the training is saved, and taken up again if it was; None nowhere.
        groups: parameter groups of the optimizer, with settings such as a learning rate of their
            own; all other parameters have those of the training.
        callbacks: of transformers' Trainer.
        **settings: of transformers' ``TrainingArguments``.

    Returns:
        The mean loss of all steps.

    Raises:
        PrunusError: the processes cannot share a step's examples equally, or what accelerate was
            told to use cannot train this.
    """
    said = {
        "learned masks, adapters and embedding_rate": groups,
        "averaging and eval_steps": callbacks,
        "save (say save: null)": checkpoints,
    }
    require_plain(what for what, value in said.items() if value)
    arguments = TrainingArguments(
        output_dir=str(folder if checkpoints is None else checkpoints.folder),
        per_device_train_batch_size=batch_size,
        max_steps=settings.pop("max_steps", ENDLESS if pace else -1),
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=settings.pop("remove_unused_columns", loss is None),
        disable_tqdm=not bar,
        **logging(),
        save_strategy="no",
        save_total_limit=2,
        report_to="none",
        ddp_find_unused_parameters=True,
        **settings,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # a process has one device
    start = None if checkpoints is None else checkpoints.last
    called: list[Any] = [*callbacks, Logs(), *([] if pace is None else [Stop(pace)])]
    guest = None if enter is None else Guest(enter, told, start)
    if guest is not None:
        called.append(guest)
    saving = None if checkpoints is None else Saving(checkpoints, pace)
    if saving is not None:
        called.append(saving)  # the last one: what it writes says that a checkpoint is whole
    with taken_apart(model) as own, _unmarked(own), recomputed(own, checkpointing):
        loop = Loop(
            loss=loss, pace=pace, passes=passes, collate=collate, groups=groups, model=own,
            args=arguments, train_dataset=data, callbacks=called,
            optimizer_cls_and_kwargs=optimizer,
        )  # fmt: skip
        require_second(loop.accelerator)
        for printing in (PrinterCallback, ProgressCallback):
            loop.remove_callback(printing)
        if bar:
            loop.add_callback(Bar)
        if saving is not None:
            saving.loop = loop
        loop.train(resume_from_checkpoint=start and str(start))
    ranks.spread(model.buffers())
    lost = ranks.total({"lost": loop.sums[0]})["lost"] / ranks.world()
    return float(lost) / max(1, loop.state.global_step)


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
