"""The training loop: transformers' Trainer, which is slow to import and so is kept apart."""

from pathlib import Path
from typing import Any

import torch
from transformers import DataCollatorWithPadding, PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from prunus.task._prepared import Prepared
from prunus.task._training import Training


class Bar(ProgressCallback):
    """The Trainer's progress bar, without the raw log lines."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Print nothing."""


def fit(
    model: PreTrainedModel, prepared: Prepared, training: Training, folder: Path, quiet: bool
) -> float:
    """Train ``model`` in place.

    Args:
        model: one with a head for the task; only what requires gradients changes.
        prepared: the task.
        training: the settings.
        folder: for what the Trainer may write.
        quiet: show no progress bar.

    Returns:
        The mean training loss.
    """
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        warmup_steps=training.warmup_ratio,
        lr_scheduler_type=training.scheduler,
        max_steps=training.max_steps or -1,
        seed=training.seed,
        train_sampling_strategy="group_by_length",
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=quiet,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
    )
    examples: Any = prepared.examples("train")
    collate = DataCollatorWithPadding(prepared.tokenizer)
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=examples)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    if not quiet:
        trainer.add_callback(Bar)
    return trainer.train().training_loss
