"""What every task offers once it is ready for one model: splits, batches, an evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, overload

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from prunus import ranks
from prunus.errors import PrunusError, unknown
from prunus.probe._device import device_of
from prunus.task._changes import Answer, Asked, Change, Changes, changed
from prunus.task._confidence import Recall
from prunus.task._quality import Quality

Batch = dict[str, Tensor]
Example = dict[str, Any]
Progress = Callable[["Batches"], Iterable[Batch]]
Rows = TypeVar("Rows")
Order = Literal["length", "equal", "drawn"]


class Batches(Sequence[Batch]):
    """Batches of a split.

    Attributes:
        order: ``[example]`` the row in the split of each example, in the order of the batches.
    """

    def __init__(self, batches: Sequence[Batch], order: Tensor) -> None:
        self.order = order
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, place: int) -> Batch: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Batch]: ...

    def __getitem__(self, place: int | slice) -> Batch | Sequence[Batch]:
        return self._batches[place]


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared(ABC, Generic[Rows]):
    """A task's splits, made into a model's inputs when asked for.

    An example is what a model takes in one row of a batch: a text, a pair of texts, one window of
    a long text, an image.

    Attributes:
        label_keys: what of a batch is a label; the rest is what a model answers to.
        outputs: what of a model's output is its answer, each ``[example, ...]``.
        sampling: how a training draws its examples, as transformers names it.
        scored_by: what the scores of answers that are texts are called.
        splits: the rows by split name.
    """

    label_keys: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[str, ...]]
    sampling: ClassVar[str] = "random"
    scored_by: ClassVar[str] = "F1"
    splits: Mapping[str, Rows]

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """What a model's configuration must say for a head that fits the task."""

    def input_config(self) -> dict[str, Any]:
        """What a model's configuration must say of its inputs."""
        return {}

    def fitted(self, config: PretrainedConfig) -> Self:
        """The same for one model, where its configuration decides how batches are made."""
        del config
        return self

    @abstractmethod
    def baselines(self) -> dict[str, float]:
        """What needs no network, by name: the headline metric on the validation split, in percent.

        Raises:
            PrunusError: a split that is needed is missing.
        """

    def inputs(self, batch: Mapping[str, Tensor]) -> Batch:
        """What of a batch a model answers to: all but the labels."""
        return {name: own for name, own in batch.items() if name not in self.label_keys}

    @abstractmethod
    def examples(self, split: str) -> Sequence[Any]:
        """What a training on a split draws from, one entry an example; see :meth:`collate`.

        Raises:
            PrunusError: the task has no such split.
        """

    @abstractmethod
    def collate(self, split: str) -> Callable[[list[Any]], Batch]:
        """What makes a training's batch of some of the ``examples`` of a split."""

    @abstractmethod
    def batches(
        self,
        split: str,
        batch_size: int = 32,
        limit: int | None = None,
        order: Order = "length",
    ) -> Batches:
        """A split in batches.

        Args:
            split: its name.
            batch_size: examples in a batch; the last one may be smaller.
            limit: take only the first so many examples of the split.
            order: of the examples, where they have lengths.

        Returns:
            Batches of a model's inputs and labels ``[example, ...]``, ready for ``model(**batch)``.

        Raises:
            PrunusError: the task has no such split.
        """

    @abstractmethod
    def longest(self, config: PretrainedConfig) -> int | None:
        """How many tokens a padded example has, as far as a model has positions; else None."""

    @abstractmethod
    def _judge(self, split: str, answers: list[Tensor]) -> Quality:
        """The quality of answers ``[output, ...]``, one an example: the first of the split."""

    @abstractmethod
    def _asked(self, split: str, row: int) -> Asked:
        """What an example asks, and what is right."""

    @abstractmethod
    def _said(self, quality: Quality, row: int) -> Answer:
        """What a model said to an example."""

    def recalls(self, quality: Quality) -> dict[str, Recall]:
        """How many examples of each class are found; nothing where answers are no classes."""
        del quality
        return {}

    def changes(self, split: str, dense: Quality, pruned: Quality, most: int) -> dict[str, Changes]:
        """The examples that the pruned model answers otherwise than the dense one.

        Args:
            split: the split that both answered.
            dense: what the dense model answered.
            pruned: what the pruned model answered.
            most: how many of each kind are listed.

        Returns:
            By kind, see :func:`prunus.task._changes.changed`.
        """
        return {
            kind: Changes(
                len(rows), [self._change(split, row, dense, pruned) for row in rows[:most]]
            )
            for kind, rows in changed(dense, pruned).items()
        }

    def _change(self, split: str, row: int, dense: Quality, pruned: Quality) -> Change:
        said = self._said(dense, row), self._said(pruned, row)
        return Change(self._asked(split, row), *said)

    def evaluate(
        self,
        model: nn.Module,
        split: str = "validation",
        batch_size: int = 32,
        progress: Progress | None = None,
        limit: int | None = None,
    ) -> Quality:
        """The quality of a model on a split.

        Where several processes share the run, each asks its share of the batches, and all know the
        quality on the whole split.

        Args:
            model: ``model(**batch)`` gives ``outputs``; it is run in evaluation mode and left in
                the mode it was in.
            split: its name.
            batch_size: examples in a batch.
            progress: wraps the batches as they are gone through, as ``tqdm.tqdm`` does.
            limit: ask only the first so many examples of the split.

        Raises:
            PrunusError: the head does not fit the task, or its answers are not finite.
        """
        batches = self.batches(split, batch_size, limit)
        with evaluating(model):
            shown = progress(batches) if progress else batches
            mine = {at: self._answers(model, batch) for at, batch in ranks.own(enumerate(shown))}
        answers = [row for batch in ranks.collected(mine) for row in batch]
        if not all(row.isfinite().all() for row in answers):
            raise PrunusError(f"the model's outputs on {split!r} are not finite: is it broken?")
        return self._judge(split, [answers[i] for i in batches.order.argsort().tolist()])

    def loss(
        self,
        model: nn.Module,
        split: str = "validation",
        batch_size: int = 32,
        limit: int | None = None,
    ) -> float:
        """The mean of a model's own loss on a split, in nats.

        Args:
            model: ``model(**batch)`` gives a loss, the mean over a batch; it is run in evaluation
                mode and left in the mode it was in.
            split: its name.
            batch_size: examples in a batch, of which the result does not depend.
            limit: take only the first so many examples of the split.

        Raises:
            PrunusError: the task has no such split, or the model gives no loss.
        """
        total, count, device = 0.0, 0, device_of(model)
        with evaluating(model):
            for batch in ranks.own(self.batches(split, batch_size, limit)):
                lost = model(**{name: value.to(device) for name, value in batch.items()}).loss
                if lost is None:
                    raise PrunusError(f"a {type(model).__name__} gives no loss of its own")
                count += self._terms(batch)
                total += self._terms(batch) * float(lost)
        sums = ranks.total({"loss": torch.tensor(total).double(), "terms": torch.tensor(count)})
        return float(sums["loss"]) / int(sums["terms"])

    def _terms(self, batch: Batch) -> int:
        """How many terms a model's loss on a batch is the mean of: the examples."""
        return len(batch[self.label_keys[0]])

    def require(self, *splits: str) -> None:
        """Check that the task has these splits.

        Raises:
            PrunusError: one is missing.
        """
        for name in splits:
            self._split(name)

    def _split(self, name: str) -> Rows:
        if name not in self.splits:
            raise unknown("split", name, self.splits, f"The key `splits` can draw one: {name}: 500")
        return self.splits[name]

    def _answers(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[example, output, ...]`` float32 on the CPU."""
        device = device_of(model)
        out = model(**{name: own.to(device) for name, own in self.inputs(batch).items()})
        for name in self.outputs:
            if getattr(out, name, None) is None:
                raise PrunusError(f"a {type(model).__name__} gives no {name}, which the task needs")
        return torch.stack([getattr(out, name).float().cpu() for name in self.outputs], 1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
