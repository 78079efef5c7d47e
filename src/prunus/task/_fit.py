"""How settings of a fine-tuning become a training of transformers' Trainer."""

from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer, RMSprop
from transformers import PreTrainedModel

from prunus.errors import PrunusError
from prunus.safe import SafePoints
from prunus.task._average import Averaged
from prunus.task._history import History
from prunus.task._looks import Looks
from prunus.task._prepared import Prepared
from prunus.task._training import Training
from prunus.trainer import Checkpoints, train


def fit(
    model: PreTrainedModel,
    prepared: Prepared,
    training: Training,
    folder: Path,
    quiet: bool,
    *,
    safe: SafePoints,
    name: str,
    **more: Any,
) -> History:
    """Train ``model`` in place.

    Args:
        model: one with a head for the task; only what requires gradients changes.
        prepared: the task.
        training: the settings.
        folder: for what the Trainer may write.
        quiet: show no progress bar.
        safe: points from which it goes on.
        name: of the training among them.
        **more: for :func:`prunus.trainer.train`: a loss, a guest.

    Returns:
        How it went.

    Raises:
        PrunusError: something is said of embeddings, and the model has none that learn; or the
            task lacks a split.
    """
    if training.freeze_embeddings:
        _embeddings(model).requires_grad_(False)
    examples: Any = prepared.examples("train")
    prepared.require(*training.splits)
    averaged = [Averaged(model, training.averaging)] if training.averaging else []
    seen = averaged[0].average if averaged else model
    looks = [Looks(seen, prepared, training)] if training.eval_steps else []
    others = {"average.safetensors": averaged, "best.safetensors": looks}
    place = safe.training(name)
    loss = train(
        model,
        examples,
        prepared.collate("train"),
        folder,
        batch_size=training.batch_size,
        passes=training.gradient_accumulation_steps,
        checkpointing=training.gradient_checkpointing,
        optimizer=_optimizer(training),
        bar=not quiet,
        groups=[*more.pop("groups", ()), *_groups(model, training)],
        callbacks=[*averaged, *looks],
        checkpoints=place
        and Checkpoints(place, safe, {name: own[0] for name, own in others.items() if own}),
        num_train_epochs=training.epochs,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        adam_beta1=training.betas[0],
        adam_beta2=training.betas[1],
        warmup_steps=training.warmup,
        lr_scheduler_type=training.scheduler,
        max_steps=training.max_steps or -1,
        seed=training.seed,
        bf16=training.precision == "bfloat16",
        label_smoothing_factor=training.label_smoothing,
        train_sampling_strategy=prepared.sampling,
        remove_unused_columns=True,
        use_cpu=model.device.type == "cpu",
        **more,
    )
    points, kept = (looks[0].points, looks[0].kept) if looks else ((), None)
    return History("training", loss, tuple(points), kept)


def _optimizer(training: Training) -> tuple[type[Optimizer], dict[str, Any]] | None:
    """An optimizer's class and settings; None is the Trainer's AdamW."""
    known = {"adamw": None, "sgd": SGD, "rmsprop": RMSprop}
    cls = known[training.optimizer]
    return cls and (cls, {"lr": training.learning_rate, "momentum": training.momentum})


def _groups(model: PreTrainedModel, training: Training) -> list[dict[str, Any]]:
    """The embeddings, where they learn at a rate of their own."""
    if training.embedding_rate == 1:
        return []
    weights = [weight for weight in _embeddings(model).parameters() if weight.requires_grad]
    if not weights:
        raise PrunusError(
            "embedding_rate: the embeddings of tokens do not learn here; leave it out"
        )
    rate = training.embedding_rate * training.learning_rate
    return [{"params": weights, "lr": rate, "weight_decay": training.weight_decay}]


def _embeddings(model: PreTrainedModel) -> nn.Embedding:
    try:
        found = model.get_input_embeddings()
    except NotImplementedError:
        found = None
    if not isinstance(found, nn.Embedding):
        raise PrunusError(
            f"freeze_embeddings, embedding_rate: a {type(model).__name__} has no embeddings of"
            " tokens; leave them out"
        )
    return found
