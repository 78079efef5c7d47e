"""Texts made into tokens by one tokenizer."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import DataCollatorWithPadding, PretrainedConfig, PreTrainedTokenizerBase

from prunus.errors import PrunusError
from prunus.task._prepared import Batch, Batches, Example, Order, Prepared, Rows


@dataclass(frozen=True, eq=False, kw_only=True)
class Tokenized(Prepared[Rows]):
    """A task's splits, tokenised when asked for.

    Attributes:
        tokenizer: makes tokens of texts.
        max_length: tokens at which an example is cut off.
    """

    sampling: ClassVar[str] = "group_by_length"
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    _encoded: dict[str, list[Example]] = field(default_factory=dict, init=False, repr=False)

    @abstractmethod
    def _encode(self, split: str) -> list[Example]:
        """The tokenised examples of a split, with their labels under ``label_keys``."""

    def input_config(self) -> dict[str, Any]:
        """The token that pads."""
        return {"pad_token_id": self.tokenizer.pad_token_id}

    def examples(self, split: str) -> list[Example]:
        """The tokenised examples of a split in its order: ``input_ids`` and such, and the labels.

        Raises:
            PrunusError: the task has no such split.
        """
        if split not in self._encoded:
            self._encoded[split] = self._encode(split)
        return self._encoded[split]

    def collate(self, split: str) -> Callable[[list[Any]], Batch]:
        """What pads examples to the longest of them."""
        del split
        pad = DataCollatorWithPadding(self.tokenizer)
        return lambda rows: dict(pad(rows))

    def lengths(self, split: str) -> Tensor:
        """Number of tokens ``[example]`` int64 of each example, in the order of the split."""
        return torch.tensor([len(row["input_ids"]) for row in self.examples(split)])

    def tokens(self, split: str) -> Iterator[int]:
        """The tokens of a split's texts, one after another."""
        return chain.from_iterable(row["input_ids"] for row in self.examples(split))

    def longest(self, config: PretrainedConfig) -> int:
        """How many tokens a padded text of the task has, as far as a model has positions."""
        positions = getattr(config, "max_position_embeddings", None) or self.max_length
        return min(self.max_length, self.tokenizer.model_max_length, positions)

    def batches(
        self,
        split: str,
        batch_size: int = 32,
        limit: int | None = None,
        order: Order = "length",
    ) -> Batches:
        """A split in batches, each padded to its own longest example.

        Args:
            split: its name.
            batch_size: examples in a batch; the last one may be smaller.
            limit: take only the first so many examples of the split.
            order: ``length`` puts examples of like lengths together, the longest first; ``equal``
                only those of equal lengths, so that nothing is padded and batches may be small;
                ``drawn`` keeps the order of the split.

        Returns:
            Batches with ``input_ids`` and ``attention_mask`` ``[example, token]`` (and what else
            the tokenizer gives) and the labels ``[example]``, ready for ``model(**batch)``.

        Raises:
            PrunusError: the task has no such split, or the tokenizer cannot pad.
        """
        if self.tokenizer.pad_token is None:
            raise PrunusError("the tokenizer has no padding token: set tokenizer.pad_token")
        rows = self.examples(split)[:limit]
        lengths, place = self.lengths(split)[:limit], torch.arange(len(rows))
        if order != "drawn":
            place = lengths.argsort(descending=True, stable=True)
        groups = [place]
        if order == "equal":
            groups = place.split(lengths[place].unique_consecutive(return_counts=True)[1].tolist())
        collate = self.collate(split)
        chunks = [chunk.tolist() for group in groups for chunk in group.split(batch_size)]
        return Batches([collate([rows[i] for i in chunk]) for chunk in chunks], place)
