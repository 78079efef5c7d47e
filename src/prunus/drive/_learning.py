"""What a drive that trains learns from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from prunus import adapt
from prunus.errors import PrunusError
from prunus.loss import Objective
from prunus.probe.loss import Batch
from prunus.safe import SafePoints
from prunus.task import History, Prepared, Training


@dataclass(frozen=True)
class Learning:
    """A task's training split, and how it is learnt.

    Attributes:
        prepared: the task.
        training: the settings.
        objective: the loss.
        penalty: what is added to the loss of every batch, if anything is.
    """

    prepared: Prepared[Any]
    training: Training
    objective: Objective
    penalty: Callable[[], Tensor] | None = None

    @property
    def steps(self) -> tuple[int, int]:
        """Steps of the whole training, and of an epoch."""
        return self.training.steps(len(self.prepared.examples("train")))

    def lasting(self, epochs: float) -> "Learning":
        """The same for another number of epochs."""
        return replace(self, training=self.training.model_copy(update={"epochs": epochs}))

    def limited(self, steps: int) -> "Learning":
        """The same for a number of steps."""
        return replace(self, training=self.training.model_copy(update={"max_steps": steps}))

    def with_penalty(self, penalty: Callable[[], Tensor]) -> "Learning":
        """The same with something added to the loss of every batch."""
        return replace(self, penalty=penalty)

    def check(self, model: Any) -> None:
        """Try the loss on a small batch.

        Raises:
            PrunusError: a term of the loss does not fit the model or its teacher.
        """
        self.objective.check(model, self.prepared.batches("train", 2, 2)[0])

    def train(
        self,
        model: Any,
        enter: Callable[[Any, Any, int, int], Any] | None,
        told: Callable[[int, int], None],
        safe: SafePoints,
        name: str,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> History:
        """Train a model in place.

        Args:
            model: with a head for the task.
            enter: see :func:`prunus.trainer.train`, like ``told``.
            told: of progress.
            safe: points from which it goes on.
            name: of the training among them.
            groups: see :func:`prunus.trainer.train`; adapters have theirs in any case.

        Returns:
            How it went.

        Raises:
            PrunusError: a term of the loss does not fit the model or its teacher.
        """
        from prunus.task._fit import fit  # the Trainer takes two seconds to import

        self.check(model)
        with TemporaryDirectory() as folder:
            return fit(
                model, self.prepared, self.training, Path(folder), True,
                loss=self._loss, enter=enter, told=told, safe=safe, name=name,
                groups=[*groups, *adapt.groups(model)],
            )  # fmt: skip

    def _loss(self, model: Any, batch: Batch) -> Tensor:
        loss = self.objective(model, batch)
        return loss if self.penalty is None else loss + self.penalty().to(loss.device)


def learning_of(job: Any, drive: str) -> Learning:
    """What a job learns from.

    Raises:
        PrunusError: nothing.
    """
    if job.learning is None:
        raise PrunusError(
            f"drive: {drive} needs labelled data to train on, which `prunus run` takes from the"
            " task; in a loop of your own use prunus.gradual(model, optimizer, ...)"
        )
    return job.learning
