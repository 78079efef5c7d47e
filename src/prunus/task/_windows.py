"""Long texts beside a question as overlapping windows, and the best span in each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from prunus.errors import PrunusError

CHUNK = 256
"""Questions that are tokenised at once: the tokenizer's offsets are large."""

Characters = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a question's context.

    Attributes:
        question: the row of the question in its split.
        inputs: ``input_ids`` and such, ``start_positions`` and ``end_positions``.
        first: the place of the first token of the context.
        offsets: ``[context token, 2]`` int32, the characters of the context that a token covers.
        null: the place of the token that stands for "no answer here".
    """

    question: int
    inputs: dict[str, Any]
    first: int
    offsets: Tensor
    null: int

    def best(self, logits: Tensor, most: int) -> tuple[float, Characters]:
        """The span of the highest sum of start and end logits, and that sum.

        The search goes over every span of the context, not only over those that begin and end at
        one of the best few tokens.

        Args:
            logits: ``[2, token]`` of starts and of ends.
            most: tokens of the longest span.

        Returns:
            The sum and the span's characters; minus infinity where the window has no context.
        """
        if not len(self.offsets):
            return -torch.inf, (0, 0)
        starts, ends = logits[:, self.first : self.first + len(self.offsets)]
        padded = functional.pad(ends, (0, most - 1), value=-torch.inf)
        sums = (starts[:, None] + padded.unfold(0, most, 1)).flatten()  # by start, then length
        place = int(sums.argmax())
        begin, more = divmod(place, most)
        characters = int(self.offsets[begin, 0]), int(self.offsets[begin + more, 1])
        return float(sums[place]), characters

    def label(self, answer: Characters | None) -> dict[str, int]:
        """``start_positions`` and ``end_positions``: those of ``null`` where it is not all here."""
        span = None if answer is None else self._tokens(*answer)
        start, end = (self.null, self.null) if span is None else span
        return {"start_positions": start, "end_positions": end}

    def _tokens(self, begin: int, end: int) -> tuple[int, int] | None:
        """The first token that reaches past ``begin``, and the last that starts before ``end``."""
        starts, ends = self.offsets.T.contiguous()
        if not len(starts) or begin < starts[0] or end > ends[-1]:
            return None
        head = int(torch.searchsorted(ends, begin, right=True))
        tail = int(torch.searchsorted(starts, end)) - 1
        return self.first + head, self.first + tail


def windows(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    limit: int,
    stride: int,
    longest_question: int,
) -> Iterator[Window]:
    """Every window of every context, in order, without labels.

    Args:
        tokenizer: a fast one, which knows what characters a token covers.
        questions: one a row.
        contexts: one a row.
        limit: tokens of a window, with its question and the special tokens.
        stride: tokens that a window shares with the one before.
        longest_question: tokens at which a question is cut off.

    Raises:
        PrunusError: the tokenizer is a slow one, or no room is left to move on in a context.
    """
    _require_room(tokenizer, limit, stride, longest_question)
    for begin in range(0, len(questions), CHUNK):
        asked = _shortened(tokenizer, questions[begin : begin + CHUNK], longest_question)
        encoded: Any = tokenizer(
            asked,
            list(contexts[begin : begin + CHUNK]),
            truncation="only_second",
            max_length=limit,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for place, row in enumerate(encoded["overflow_to_sample_mapping"]):
            yield _window(tokenizer, encoded, place, begin + row)


def _require_room(
    tokenizer: PreTrainedTokenizerBase, limit: int, stride: int, longest_question: int
) -> None:
    if not tokenizer.is_fast:
        raise PrunusError(
            f"question answering needs a fast tokenizer, {type(tokenizer).__name__} is none: save"
            " the checkpoint with a tokenizer.json"
        )
    room = limit - longest_question - tokenizer.num_special_tokens_to_add(pair=True)
    if room <= stride:
        raise PrunusError(
            f"windows of {limit} tokens leave {room} for the context beside a question of"
            f" {longest_question}, which must be more than the stride of {stride}: give a larger"
            " max_length, or a smaller stride or max_question_length"
        )


def _shortened(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], most: int
) -> list[str]:
    """Questions without surrounding blanks, none longer than ``most`` tokens."""
    stripped = [question.strip() for question in questions]
    encoded: Any = tokenizer(
        stripped,
        add_special_tokens=False,
        truncation=True,
        max_length=most,
        return_offsets_mapping=True,
    )
    ends = [offsets[-1][1] if offsets else 0 for offsets in encoded["offset_mapping"]]
    return [question[:end] for question, end in zip(stripped, ends, strict=True)]


def _window(tokenizer: PreTrainedTokenizerBase, encoded: Any, place: int, question: int) -> Window:
    inputs = {name: encoded[name][place] for name in tokenizer.model_input_names if name in encoded}
    tokens = inputs["input_ids"]
    context = [token for token, part in enumerate(encoded.sequence_ids(place)) if part == 1]
    offsets = [encoded["offset_mapping"][place][token] for token in context]
    marker = tokenizer.cls_token_id
    return Window(
        question=question,
        inputs=inputs,
        first=context[0] if context else 0,
        offsets=torch.tensor(offsets, dtype=torch.int32).reshape(-1, 2),
        null=tokens.index(marker) if marker in tokens else 0,
    )
