"""Questions on texts, answered by a span of the text or by none, made ready for one tokenizer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from prunus.task._changes import Answer, Asked
from prunus.task._prepared import Example
from prunus.task._quality import Quality
from prunus.task._squad import fingerprint, normal, score
from prunus.task._tokenized import Tokenized
from prunus.task._windows import Characters, Window, windows

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, eq=False)
class Questions:
    """The rows of one split.

    Attributes:
        questions: what is asked.
        contexts: the text of each question that holds its answer.
        golds: the right answers to each question; none where it has no answer.
        spans: the characters of the first right answer in the context; None without an answer.
    """

    questions: list[str]
    contexts: list[str]
    golds: list[list[str]]
    spans: list[Characters | None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Spans(Tokenized[Questions]):
    """Splits of questions; an example is one window of a question's context.

    Attributes:
        stride: tokens that neighbouring windows share.
        max_question_length: tokens at which a question is cut off.
        max_answer_length: tokens of the longest answer.
        no_answer: some questions have no answer; right answers are counted as SQuAD 2.0 does.
        null_threshold: how far "no answer" must be above the best span.
    """

    label_keys: ClassVar[tuple[str, ...]] = ("start_positions", "end_positions")
    outputs: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    stride: int
    max_question_length: int
    max_answer_length: int
    no_answer: bool
    null_threshold: float
    _windows: dict[str, list[Window]] = field(default_factory=dict, init=False, repr=False)

    def head_config(self) -> dict[str, Any]:
        """Two outputs a token, of start and end."""
        return {"num_labels": 2}

    def windows(self, split: str) -> list[Window]:
        """The windows of a split, in its order, those of one question one after another.

        Raises:
            PrunusError: the task has no such split, or the windows have no room for contexts.
        """
        if split not in self._windows:
            rows = self._split(split)
            limit = min(self.max_length, self.tokenizer.model_max_length)
            settings = limit, self.stride, self.max_question_length
            cut = windows(self.tokenizer, rows.questions, rows.contexts, *settings)
            self._windows[split] = list(cut)
        return self._windows[split]

    def baselines(self) -> dict[str, float]:
        """What needs no network: F1 on the validation split, in percent.

        Returns:
            ``nearest_sentence``: the sentence of the context that shares most words with the
            question; ``no_answer``, where some questions have none: always the empty answer.
        """
        rows = self._split("validation")
        pairs = zip(rows.questions, rows.contexts, strict=True)
        said = {"nearest_sentence": [_nearest(*pair) for pair in pairs]}
        if self.no_answer:
            said["no_answer"] = [""] * len(rows.questions)
        return {name: self.assess("validation", answers).value for name, answers in said.items()}

    def assess(self, split: str, answers: Sequence[str]) -> Quality:
        """The quality of answers to the first questions of a split, in its order.

        Returns:
            F1 with the standard error of its mean over the questions, and ``exact_match``.
            ``predictions`` are int64 fingerprints of the answers, equal for answers that SQuAD
            counts as the same; ``scores`` are each question's F1, from 0 to 1.

        Raises:
            PrunusError: the task has no such split.
        """
        golds = self._split(split).golds[: len(answers)]
        found = [score(a, right, self.no_answer) for a, right in zip(answers, golds, strict=True)]
        exact, f1 = torch.tensor(found, dtype=torch.float64).T
        return Quality(
            metric="f1",
            value=100 * f1.mean().item(),
            stderr=100 * f1.std(correction=0).item() / len(f1) ** 0.5,
            n=len(f1),
            predictions=torch.tensor([fingerprint(answer) for answer in answers]),
            scores=f1,
            extra={"exact_match": 100 * exact.mean().item()},
            said=tuple(answers),
        )

    def answers(self, split: str, logits: Sequence[Tensor]) -> list[str]:
        """What is answered to each question: the best span of all its windows.

        The score of "no answer" is the sum of both logits at the window's null token, the lowest
        of the windows; where it is more than ``null_threshold`` above the best span's, the answer
        is empty (Devlin et al., arXiv 1810.04805, 4.3). Without ``no_answer`` a span is always
        given.

        Args:
            split: its name.
            logits: ``[2, token]`` of starts and ends for each of the first windows, padded as in a
                batch.

        Raises:
            PrunusError: the task has no such split.
        """
        rows = self._split(split)
        best, said = [-torch.inf] * len(rows.questions), [""] * len(rows.questions)
        null = [torch.inf] * len(rows.questions)
        for window, padded in zip(self.windows(split), logits, strict=False):
            row, asked = self._unpadded(window, padded), window.question
            value, (begin, end) = window.best(row, self.max_answer_length)
            if value > best[asked]:
                best[asked], said[asked] = value, rows.contexts[asked][begin:end]
            null[asked] = min(null[asked], float(row[:, window.null].sum()))
        if not self.no_answer:
            return said
        return [
            "" if nothing - value > self.null_threshold else answer
            for answer, value, nothing in zip(said, best, null, strict=True)
        ]

    def _encode(self, split: str) -> list[Example]:
        spans = self._split(split).spans
        cut = self.windows(split)
        return [window.inputs | window.label(spans[window.question]) for window in cut]

    def _judge(self, split: str, answers: list[Tensor]) -> Quality:
        """Questions of which not every window is answered do not count."""
        left = self.windows(split)[len(answers) :]
        asked = max(1, left[0].question) if left else None
        return self.assess(split, self.answers(split, answers)[:asked])

    def _asked(self, split: str, row: int) -> Asked:
        rows = self._split(split)
        return Asked((rows.questions[row],), " / ".join(dict.fromkeys(rows.golds[row])))

    def _said(self, quality: Quality, row: int) -> Answer:
        return Answer(quality.said[row], score=float(quality.scores[row]))

    def _unpadded(self, window: Window, logits: Tensor) -> Tensor:
        tokens = len(window.inputs["input_ids"])
        return logits[:, -tokens:] if self.tokenizer.padding_side == "left" else logits[:, :tokens]


def _nearest(question: str, context: str) -> str:
    asked = set(normal(question).split())
    sentences = SENTENCE_END.split(context)
    return max(sentences, key=lambda sentence: len(asked.intersection(normal(sentence).split())))
