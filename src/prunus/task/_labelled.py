"""Examples with a class or a number each, whatever they are made of."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.task._changes import Answer, Asked
from prunus.task._confidence import Recall, recalls
from prunus.task._prepared import Prepared
from prunus.task._quality import Quality, assess


class HasLabels(Protocol):
    """Rows of a split with a label each, ``[example]``."""

    @property
    def labels(self) -> Tensor:
        """Class indices int64, or float32 numbers of a regression, ``[example]``."""
        ...


LabelledRows = TypeVar("LabelledRows", bound=HasLabels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Labelled(Prepared[LabelledRows]):
    """A classification's or a regression's splits; an example is a row.

    Attributes:
        label_names: the classes in order, or the name of the regression's label.
        num_labels: outputs of the head, at least as many as ``label_names``.
        metrics: names, the headline first.
        regression: labels are numbers.
        seed: of the bootstrap behind standard errors.
    """

    label_keys: ClassVar[tuple[str, ...]] = ("labels",)
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    label_names: list[str]
    num_labels: int
    metrics: tuple[str, ...]
    regression: bool = False
    seed: int = 0

    @abstractmethod
    def _shown(self, split: str, row: int) -> tuple[str, ...]:
        """An example in words."""

    def labels(self, split: str) -> Tensor:
        """The labels ``[example]`` of a split, in its order.

        Raises:
            PrunusError: the task has no such split.
        """
        return self._split(split).labels

    def head_config(self) -> dict[str, Any]:
        """The classes by name, and which loss the head takes."""
        names = dict(enumerate(self.label_names))
        return {
            "num_labels": self.num_labels,
            "id2label": names,
            "label2id": {name: index for index, name in names.items()},
            "problem_type": "regression" if self.regression else "single_label_classification",
        }

    def recalls(self, quality: Quality) -> dict[str, Recall]:
        """How many examples of each class are found, by its name; nothing for a regression."""
        if self.regression or quality.labels is None:
            return {}
        found = recalls(quality.predictions, quality.labels, len(self.label_names))
        return dict(zip(self.label_names, found, strict=True))

    def _judge(self, split: str, answers: list[Tensor]) -> Quality:
        logits = torch.stack([row[0] for row in answers])
        labels = self.labels(split)[: len(logits)]
        if logits.shape[-1] < len(self.label_names):
            raise PrunusError(
                f"the model's head has {logits.shape[-1]} outputs, the task"
                f" {len(self.label_names)} labels: {', '.join(self.label_names)}"
            )
        if self.regression:
            return assess(logits.squeeze(-1), labels, self.metrics, self.seed)
        confidences, said = logits.softmax(-1).max(-1)
        return assess(said, labels, self.metrics, self.seed, confidences)

    def _asked(self, split: str, row: int) -> Asked:
        return Asked(self._shown(split, row), self._called(self.labels(split)[row]))

    def _said(self, quality: Quality, row: int) -> Answer:
        confidences = quality.confidences
        sure = None if confidences is None else float(confidences[row])
        return Answer(self._called(quality.predictions[row]), sure)

    def _called(self, value: Tensor) -> str:
        """A class by its name, a number as people read it."""
        if self.regression:
            return f"{float(value):.2f}"
        index = int(value)
        return self.label_names[index] if index < len(self.label_names) else f"output {index}"
