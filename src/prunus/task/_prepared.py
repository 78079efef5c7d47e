"""A task made ready for one tokenizer: splits, batches, and the evaluation of a model on them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from prunus.errors import PrunusError, unknown
from prunus.task._quality import Quality, assess

Batch = dict[str, Tensor]
Example = dict[str, Any]
Progress = Callable[["Batches"], Iterable[Batch]]


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split.

    Attributes:
        texts: for each part of an example (one, or two for a pair) the texts of all examples.
        labels: ``[example]`` int64 class indices, or float32 numbers of a regression.
    """

    texts: tuple[list[str], ...]
    labels: Tensor


class Batches(list[Batch]):
    """Batches of a split, longest examples first.

    Attributes:
        order: ``[example]`` the row in the split of each example, in the order of the batches.
    """

    def __init__(self, batches: Iterable[Batch], order: Tensor) -> None:
        super().__init__(batches)
        self.order = order


@dataclass(frozen=True, eq=False)
class Prepared:
    """A task's splits, tokenised when asked for.

    Attributes:
        tokenizer: makes tokens of texts.
        splits: the rows by split name.
        label_names: the classes in order, or the name of the regression's label.
        num_labels: outputs of the head, at least as many as ``label_names``.
        metrics: names, the headline first.
        regression: labels are numbers.
        max_length: tokens at which a text is cut off.
        seed: of the bootstrap behind standard errors.
    """

    tokenizer: PreTrainedTokenizerBase
    splits: Mapping[str, Split]
    label_names: list[str]
    num_labels: int
    metrics: tuple[str, ...]
    regression: bool
    max_length: int
    seed: int = 0
    _encoded: dict[str, list[Example]] = field(default_factory=dict, init=False, repr=False)

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

    def examples(self, split: str) -> list[Example]:
        """The tokenised rows of a split in its order: ``input_ids`` and such, and ``labels``.

        Raises:
            PrunusError: the task has no such split.
        """
        if split not in self._encoded:
            rows = self._split(split)
            limit = min(self.max_length, self.tokenizer.model_max_length)
            first, *second = rows.texts
            pair = second[0] if second else None
            tokens = self.tokenizer(first, text_pair=pair, truncation=True, max_length=limit)
            columns = {**tokens, "labels": rows.labels.tolist()}
            self._encoded[split] = [
                dict(zip(columns, values, strict=True))
                for values in zip(*columns.values(), strict=True)
            ]
        return self._encoded[split]

    def lengths(self, split: str) -> Tensor:
        """Number of tokens ``[example]`` int64 of each row, in the order of the split."""
        return torch.tensor([len(row["input_ids"]) for row in self.examples(split)])

    def batches(self, split: str, batch_size: int = 32, limit: int | None = None) -> Batches:
        """A split in batches of like lengths, each padded to its own longest example.

        Args:
            split: its name.
            batch_size: examples in a batch; the last one may be smaller.
            limit: take only the first so many examples of the split.

        Returns:
            Batches with ``input_ids`` and ``attention_mask`` ``[example, token]`` (and what else
            the tokenizer gives) and ``labels`` ``[example]``, ready for ``model(**batch)``.

        Raises:
            PrunusError: the task has no such split, or the tokenizer cannot pad.
        """
        if self.tokenizer.pad_token is None:
            raise PrunusError("the tokenizer has no padding token: set tokenizer.pad_token")
        rows = self.examples(split)[:limit]
        order = self.lengths(split)[:limit].argsort(descending=True, stable=True)
        collate = DataCollatorWithPadding(self.tokenizer)
        chunks = [chunk.tolist() for chunk in order.split(batch_size)]
        return Batches((dict(collate([rows[i] for i in chunk])) for chunk in chunks), order)

    def evaluate(
        self,
        model: nn.Module,
        split: str = "validation",
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> Quality:
        """The quality of a sequence classifier on a split.

        Args:
            model: answers ``model(**batch).logits`` of shape ``[example, class]``; it is run in
                evaluation mode and left in the mode it was in.
            split: its name.
            batch_size: examples in a batch.
            progress: wraps the batches as they are gone through, as ``tqdm.tqdm`` does.

        Raises:
            PrunusError: the head does not fit the task, or its answers are not finite.
        """
        batches = self.batches(split, batch_size)
        with evaluating(model):
            shown = progress(batches) if progress else batches
            sorted_logits = torch.cat([_logits(model, batch) for batch in shown])
        if sorted_logits.shape[-1] < len(self.label_names):
            raise PrunusError(
                f"the model's head has {sorted_logits.shape[-1]} outputs, the task"
                f" {len(self.label_names)} labels: {', '.join(self.label_names)}"
            )
        if not sorted_logits.isfinite().all():
            raise PrunusError(f"the model's outputs on {split!r} are not finite: is it broken?")
        logits = torch.empty_like(sorted_logits)
        logits[batches.order] = sorted_logits
        answers = logits.squeeze(-1) if self.regression else logits.argmax(-1)
        return assess(answers, self.labels(split), self.metrics, self.seed)

    def baselines(self) -> dict[str, float]:
        """What needs no network, on the validation split, in the headline metric.

        Returns:
            ``majority``: the most frequent class of the training split (the mean, for a
            regression); ``bag_of_words``: a linear model on words and pairs of words.
        """
        from prunus.task._baselines import baselines  # scikit-learn loads when first needed

        train, test = self._split("train"), self._split("validation")
        return baselines(train, test, self.metrics[0], self.regression)

    def require(self, *splits: str) -> None:
        """Check that the task has these splits.

        Raises:
            PrunusError: one is missing.
        """
        for name in splits:
            self._split(name)

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise unknown("split", name, self.splits, f"The key `splits` can draw one: {name}: 500")
        return self.splits[name]


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


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in batch.items() if name != "labels"}
    return model(**inputs).logits.float().cpu()
