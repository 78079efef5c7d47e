"""Texts or pairs of texts with a class or a number, made ready for one tokenizer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.task._changes import Answer, Asked
from prunus.task._confidence import Recall, recalls
from prunus.task._prepared import Example, Prepared
from prunus.task._quality import Quality, assess


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split.

    Attributes:
        texts: for each part of an example (one, or two for a pair) the texts of all examples.
        labels: ``[example]`` int64 class indices, or float32 numbers of a regression.
    """

    texts: tuple[list[str], ...]
    labels: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Classified(Prepared[Split]):
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
    regression: bool
    seed: int = 0

    def texts(self, split: str) -> list[str] | list[tuple[str, ...]]:
        """The texts of a split, or its pairs of texts, in its order.

        Raises:
            PrunusError: the task has no such split.
        """
        parts = self._split(split).texts
        return parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))

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

    def baselines(self) -> dict[str, float]:
        """What needs no network, on the validation split, in the headline metric.

        Returns:
            ``majority``: the most frequent class of the training split (the mean, for a
            regression); ``bag_of_words``: a linear model on words and pairs of words.
        """
        from prunus.task._baselines import baselines  # scikit-learn loads when first needed

        train, test = self._split("train"), self._split("validation")
        return baselines(train, test, self.metrics[0], self.regression)

    def recalls(self, quality: Quality) -> dict[str, Recall]:
        """How many examples of each class are found, by its name; nothing for a regression."""
        if self.regression or quality.labels is None:
            return {}
        found = recalls(quality.predictions, quality.labels, len(self.label_names))
        return dict(zip(self.label_names, found, strict=True))

    def _encode(self, split: str) -> list[Example]:
        rows = self._split(split)
        limit = min(self.max_length, self.tokenizer.model_max_length)
        first, *second = rows.texts
        pair = second[0] if second else None
        tokens = self.tokenizer(first, text_pair=pair, truncation=True, max_length=limit)
        columns = {**tokens, "labels": rows.labels.tolist()}
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]

    def _judge(self, split: str, answers: list[Tensor]) -> Quality:
        logits = torch.stack([row[0] for row in answers])
        if logits.shape[-1] < len(self.label_names):
            raise PrunusError(
                f"the model's head has {logits.shape[-1]} outputs, the task"
                f" {len(self.label_names)} labels: {', '.join(self.label_names)}"
            )
        if self.regression:
            return assess(logits.squeeze(-1), self.labels(split), self.metrics, self.seed)
        confidences, said = logits.softmax(-1).max(-1)
        return assess(said, self.labels(split), self.metrics, self.seed, confidences)

    def _asked(self, split: str, row: int) -> Asked:
        rows = self._split(split)
        texts = tuple(part[row] for part in rows.texts)
        return Asked(texts, self._called(rows.labels[row]))

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
