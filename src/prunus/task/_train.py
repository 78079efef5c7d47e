"""Fine-tuning of a dense classifier with transformers' Trainer."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from torch import nn
from transformers import DataCollatorWithPadding, SchedulerType, set_seed

from prunus.errors import PrunusError, unknown
from prunus.files import folder_beside
from prunus.registry import Part
from prunus.task._locate import resolve
from prunus.task._network import open_network, open_tokenizer
from prunus.task._prepared import Prepared
from prunus.task.glue import Glue
from prunus.task.text_classification import TextClassification


class Training(Part):
    """How a dense model is fine-tuned.

    Attributes:
        epochs: passes over the training split.
        batch_size: examples in a step.
        learning_rate: its highest value (AdamW).
        weight_decay: of AdamW, not on biases and norms.
        warmup_ratio: share of the steps in which the learning rate rises.
        scheduler: how it falls: linear, cosine, constant or another of transformers' names.
        max_length: tokens at which a text is cut off; None is the task's.
        freeze_embeddings: leave the token embeddings as they are.
        seed: of the new head, the order of the examples and dropout.
        max_steps: stop after so many steps; None is all of them.
        evaluate: measure the trained model on the validation split.
    """

    epochs: PositiveFloat = 3
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 5e-5
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    scheduler: str = "linear"
    max_length: PositiveInt | None = None
    freeze_embeddings: bool = False
    seed: int = 0
    max_steps: PositiveInt | None = None
    evaluate: bool = True

    @field_validator("scheduler")
    @classmethod
    def _known(cls, name: str) -> str:
        known = [kind.value for kind in SchedulerType]
        if name not in known:
            raise unknown("scheduler", name, known)
        return name


def train(
    model: str | Path,
    task: TextClassification | Glue,
    training: Training,
    out: str | Path,
    quiet: bool = False,
) -> Path:
    """Fine-tune a model on a task and save it, with its tokenizer and ``training.json``.

    Args:
        model: a folder, ``package:module/folder``, or a hub id; a head that does not fit the task
            is made anew.
        task: what to learn.
        training: how.
        out: the folder to be written; it appears complete, at the end.
        quiet: show no progress.

    Returns:
        ``out``. Its ``training.json`` holds the settings, the seconds, and the quality on the
        validation split (in percent) unless ``training.evaluate`` is off.

    Raises:
        PrunusError: the model, the data or a split is missing.
    """
    where, started = resolve(model), time.perf_counter()
    tokenizer = open_tokenizer(where)
    if training.max_length is not None:
        task = task.model_copy(update={"max_length": training.max_length})
    prepared = task.prepare(tokenizer)
    if "train" not in prepared.splits:
        raise PrunusError("the task has no training split: name or draw one in `splits`")
    set_seed(training.seed)
    network = open_network(where, prepared)
    if training.freeze_embeddings:
        network.get_input_embeddings().requires_grad_(False)
    with folder_beside(Path(out)) as folder:
        loss = _fit(network, prepared, training, folder, quiet)
        record = {
            "model": str(model),
            "task": task.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "loss": loss,
            "seconds": time.perf_counter() - started,
            "quality": _quality(network, prepared) if training.evaluate else None,
        }
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    return Path(out)


def _fit(
    model: nn.Module, prepared: Prepared, training: Training, folder: Path, quiet: bool
) -> float:
    """Train ``model`` in place; the mean training loss."""
    from transformers import PrinterCallback, Trainer, TrainingArguments  # two seconds to import

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
    trainer.remove_callback(PrinterCallback)
    return trainer.train().training_loss


def _quality(model: nn.Module, prepared: Prepared) -> dict[str, Any]:
    quality = prepared.evaluate(model)
    headline = {quality.metric: quality.value, "stderr": quality.stderr, "n": quality.n}
    return {**headline, **quality.extra, "baselines": prepared.baselines()}
