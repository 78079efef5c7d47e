"""The settings of a fine-tuning."""

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from transformers import SchedulerType

from prunus.errors import PrunusError, unknown
from prunus.registry import Part

Beta = Annotated[float, Field(ge=0, lt=1)]


class Training(Part):
    """How a dense model is fine-tuned.

    Attributes:
        epochs: passes over the training split.
        batch_size: examples in a step, of all processes together.
        gradient_accumulation_steps: passes in which each process goes through its examples of a
            step, to the same gradient: more passes need less memory.
        gradient_checkpointing: compute activations again in the backward pass, to the same
            gradient, rather than to keep them.
        learning_rate: its highest value.
        optimizer: adamw, or sgd and rmsprop, as networks for images often learn.
        momentum: of sgd and rmsprop.
        weight_decay: not on biases and norms.
        betas: of AdamW: how much of the mean gradient and of its mean square each step keeps.
        warmup_ratio: share of the steps in which the learning rate rises.
        warmup_steps: how many these are, whatever the share; None goes by the share.
        scheduler: how it falls: linear, cosine, constant or another of transformers' names.
        max_length: tokens at which a text is cut off; None is the task's.
        freeze_embeddings: leave the token embeddings as they are.
        embedding_rate: the learning rate of the token embeddings, and of what is tied to them, as a
            multiple of the others'.
        label_smoothing: how much of a label's probability is spread over all classes or tokens
            (Szegedy et al., arXiv 1512.00567, section 7).
        averaging: how much of the average of the weights each step keeps; the average is what is
            saved. 0 saves the last weights.
        precision: of the products; weights and optimizer are float32.
        seed: of the new head, the order of the examples and dropout.
        max_steps: stop after so many steps; None is all of them.
        evaluate: measure the trained model on the validation split.
        eval_steps: look at the loss on held-out examples before the first step, every so many
            steps, and after the last; None never looks.
        eval_split: the split of those examples.
        eval_samples: how many of them, the first of the split; None is all of them.
        eval_metric: also measure the task's headline metric at each look.
        patience: stop after so many looks without a lower loss; the weights of the lowest are left,
            of all looks where none was too many. None goes on to the end, and leaves the last.
    """

    epochs: PositiveFloat = 3
    batch_size: PositiveInt = 32
    gradient_accumulation_steps: PositiveInt = 1
    gradient_checkpointing: bool = False
    learning_rate: PositiveFloat = 5e-5
    optimizer: Literal["adamw", "sgd", "rmsprop"] = "adamw"
    momentum: Beta = 0.9
    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    warmup_steps: NonNegativeInt | None = None
    scheduler: str = "linear"
    max_length: PositiveInt | None = None
    freeze_embeddings: bool = False
    embedding_rate: PositiveFloat = 1.0
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    averaging: Beta = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    max_steps: PositiveInt | None = None
    evaluate: bool = True
    eval_steps: PositiveInt | None = None
    eval_split: str = "development"
    eval_samples: PositiveInt | None = None
    eval_metric: bool = False
    patience: PositiveInt | None = None

    @field_validator("scheduler")
    @classmethod
    def _known(cls, name: str) -> str:
        known = [kind.value for kind in SchedulerType]
        if name not in known:
            raise unknown("scheduler", name, known)
        return name

    @property
    def warmup(self) -> float:
        """As the Trainer takes it: steps, or a share of them below 1."""
        return self.warmup_ratio if self.warmup_steps is None else self.warmup_steps

    @model_validator(mode="after")
    def _embeds(self) -> Self:
        if self.freeze_embeddings and self.embedding_rate != 1:
            raise PrunusError("freeze_embeddings: embeddings that stay have no embedding_rate")
        return self

    @model_validator(mode="after")
    def _looks(self) -> Self:
        for key in ("eval_split", "eval_samples", "eval_metric", "patience"):
            if (
                self.eval_steps is None
                and getattr(self, key) != type(self).model_fields[key].default
            ):
                raise PrunusError(
                    f"{key}: nothing looks at the training; say after how many steps to look:"
                    " eval_steps: 10"
                )
        return self

    @property
    def splits(self) -> tuple[str, ...]:
        """The task's splits that a training needs."""
        return ("train",) if self.eval_steps is None else ("train", self.eval_split)

    def steps(self, examples: int) -> tuple[int, int]:
        """Steps of the whole training, and of an epoch, with so many examples."""
        epoch = ceil(examples / self.batch_size)
        return self.max_steps or ceil(self.epochs * epoch), epoch
