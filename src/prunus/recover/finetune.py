"""A short distillation from the dense model (Hinton et al., arXiv 1503.02531)."""

from collections.abc import Mapping
from math import ceil
from tempfile import TemporaryDirectory
from typing import Annotated, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from prunus.adapt import Adaptation, groups, trained_parameters
from prunus.adapt.lora import Lora
from prunus.errors import PrunusError
from prunus.recover import Pruned, TouchUp, Trained
from prunus.recover._learning import What, held, learning, masked, seeded
from prunus.recover._lessons import Lessons, place
from prunus.registry import spelt

RATES: Mapping[What, float] = {"all": 3e-4, "biases_and_norms": 3e-3, "lora": 1e-3}
MINUTES, RANK, WEIGHT_DECAY = 2.0, 8, 0.01


class Finetune(TouchUp):
    """Train the pruned model towards the dense model's answers, without labels.

    The loss is that of :class:`prunus.probe.Teacher`, a sample; the model answers without dropout,
    as the dense one does. The learning rate rises and falls to zero within the training, whatever
    ends it; with ``steps`` or ``epochs`` alone, the same seed gives the same weights.

    Attributes:
        train: ``all`` weights that stay, or what learns beside adapters where the recipe has some;
            ``biases_and_norms`` alone; or ``lora``: low-rank deltas of every layer, the head's too,
            and nothing else. Adapters are merged at the end.
        minutes: at most so long; two where no limit is given.
        steps: at most so many batches.
        epochs: at most so many passes over the data.
        learning_rate: its highest value (AdamW); None is 3e-4 for all, 3e-3 for biases and norms,
            1e-3 for adapters.
        warmup_ratio: the fraction of the training in which it rises.
        temperature: of the answers, where they are classes.
        freeze_embeddings: leave lookup tables, and what is tied to them, as they are.
        rank: of the deltas; None is 8 for lora.
        seed: of the order of the batches, and of the deltas.
    """

    train: What = "all"
    minutes: PositiveFloat | None = None
    steps: PositiveInt | None = None
    epochs: PositiveFloat | None = None
    learning_rate: PositiveFloat | None = None
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.05
    temperature: PositiveFloat = 1.0
    freeze_embeddings: bool = True
    rank: PositiveInt | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rank is not None and self.train != "lora":
            raise PrunusError(f"rank belongs to train: lora, not to train: {self.train}")
        if not self.freeze_embeddings and self.train != "all":
            raise PrunusError(f"embeddings learn with train: all, not with train: {self.train}")
        return self

    def mend(self, pruned: Pruned) -> Trained:
        """Train the student in place.

        Raises:
            PrunusError: nothing would learn, the loss is not finite, or adapters are asked for
                twice.
        """
        from prunus.trainer import Checkpoints, Pace, train  # takes seconds to import

        part = self.adaptation(pruned.adapt)
        holding = held if part is None else masked
        lessons = Lessons(pruned, self.temperature)
        pace = Pace(
            self._steps(len(lessons.batches)), self._seconds, self.warmup_ratio, lessons.told
        )
        saved = pruned.safe.training("finetune")
        others = {"lessons.safetensors": lessons}
        with (
            TemporaryDirectory() as folder,
            seeded(self.seed),
            holding(pruned.student, pruned.masked),
            learning(
                pruned.student, self.train,
                embeddings=not self.freeze_embeddings, part=part,
            ),
        ):  # fmt: skip
            count = trained_parameters(pruned.student)
            train(
                pruned.student, range(len(lessons.batches)), place, folder,
                loss=lessons, pace=pace, passes=None,
                learning_rate=self.learning_rate or RATES["lora" if part else self.train],
                weight_decay=WEIGHT_DECAY, seed=self.seed, use_cpu=lessons.device == "cpu",
                groups=groups(pruned.student),
                checkpoints=saved and Checkpoints(saved, pruned.safe, others),
            )  # fmt: skip
        what = self.train.replace("_", " ")
        if pruned.adapt is not None:
            what = f"{spelt(pruned.adapt)['name']} ({count:,} parameters)"
        return lessons.trained(what, pace.elapsed)

    def adaptation(self, adapt: Adaptation | None) -> Adaptation | None:
        """Those of the recipe, or LoRA where ``train`` says so."""
        if adapt is None:
            return Lora(rank=self.rank or RANK, head=True) if self.train == "lora" else None
        if self.train != "all" or not self.freeze_embeddings:
            raise PrunusError(
                f"recover: finetune: adapt says what learns; leave out train: {self.train} and"
                " freeze_embeddings"
            )
        return adapt

    @property
    def _seconds(self) -> float | None:
        unlimited = self.minutes is self.steps is self.epochs is None
        minutes = MINUTES if unlimited else self.minutes
        return None if minutes is None else 60 * minutes

    def _steps(self, batches: int) -> int | None:
        limits = [self.steps, self.epochs and ceil(self.epochs * batches)]
        return min((limit for limit in limits if limit is not None), default=None)
