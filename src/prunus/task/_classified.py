"""Texts or pairs of texts with a class or a number, made ready for one tokenizer."""

from dataclasses import dataclass

from torch import Tensor

from prunus.task._labelled import Labelled
from prunus.task._prepared import Example
from prunus.task._tokenized import Tokenized


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
class Classified(Tokenized[Split], Labelled[Split]):
    """A classification's or a regression's splits of texts; an example is a row."""

    def texts(self, split: str) -> list[str] | list[tuple[str, ...]]:
        """The texts of a split, or its pairs of texts, in its order.

        Raises:
            PrunusError: the task has no such split.
        """
        parts = self._split(split).texts
        return parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))

    def baselines(self) -> dict[str, float]:
        """What needs no network, on the validation split, in the headline metric.

        Returns:
            ``majority``: the most frequent class of the training split (the mean, for a
            regression); ``bag_of_words``: a linear model on words and pairs of words.
        """
        from prunus.task._baselines import baselines  # scikit-learn loads when first needed

        train, test = self._split("train"), self._split("validation")
        return baselines(train, test, self.metrics[0], self.regression)

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

    def _shown(self, split: str, row: int) -> tuple[str, ...]:
        return tuple(part[row] for part in self._split(split).texts)
