"""Extractive question answering: SQuAD 1.1 and 2.0, and data of the same columns."""

from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from transformers import PreTrainedTokenizerBase

from prunus.errors import PrunusError
from prunus.task._labels import require_values
from prunus.task._slices import draw
from prunus.task._source import column, open_source, require_columns
from prunus.task._spans import Questions, Spans
from prunus.task._task import TextTask
from prunus.task._windows import Characters

TEXTS = ("question", "context")
COLUMNS = (*TEXTS, "answers")


class QuestionAnswering(TextTask):
    """Questions on a text, each answered by a span of the text, or by none.

    The data has the columns ``question``, ``context`` and ``answers``, which holds the lists
    ``text`` and ``answer_start`` (in characters of the context).

    Attributes:
        data: a hub id (looked for under ``$PRUNUS_DATA`` first), a JSONL or parquet file, a
            folder of such files, ``package:module/file``, or a mapping from split to file.
        config: the hub's configuration.
        splits: for ``train``, ``calibration``, ``development`` and ``validation`` either a split
            of the source or a count of rows to draw from its training split.
        max_length: tokens of a window: the question, a part of the context, special tokens.
        stride: tokens that neighbouring windows of a context share.
        max_question_length: tokens at which a question is cut off.
        max_answer_length: tokens of the longest answer that is looked for.
        no_answer: some questions have no answer, and right answers are counted as SQuAD 2.0 does;
            None lets the data decide.
        null_threshold: how far the score of "no answer" must be above that of the best span.
    """

    head: ClassVar[str] = "QuestionAnswering"
    pipeline: ClassVar[str | None] = "question-answering"
    data: str | dict[str, str]
    config: str | None = None
    max_length: PositiveInt = 384
    stride: int = Field(default=128, ge=0)
    max_question_length: PositiveInt = 64
    max_answer_length: PositiveInt = 30
    no_answer: bool | None = None
    null_threshold: float = 0.0

    def prepare(
        self,
        processor: PreTrainedTokenizerBase,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Spans:
        """Open the data, check it, and draw the splits.

        Args:
            processor: the tokenizer of the model.
            num_labels: outputs of the model's head for each token; None where it is yet to be
                made.
            seed: draws the calibration rows. The other splits are always the same.
            head_names: not used: starts and ends have no other order.

        Raises:
            PrunusError: the source, a column or a split is missing or empty, an answer is not
                where the data says, or the head has not two outputs.
        """
        if num_labels not in (None, 2):
            raise PrunusError(
                f"question answering needs a head of 2 outputs, the model's has {num_labels}"
            )
        splits = self._splits(seed)
        lacking = any(not golds for rows in splits.values() for golds in rows.golds)
        return Spans(
            tokenizer=processor,
            splits=splits,
            max_length=self.max_length,
            stride=self.stride,
            max_question_length=self.max_question_length,
            max_answer_length=self.max_answer_length,
            no_answer=lacking if self.no_answer is None else self.no_answer,
            null_threshold=self.null_threshold,
        )

    def _splits(self, seed: int) -> dict[str, Questions]:
        source = open_source(self.data, self.config, "utf-8", TEXTS)
        drawn = draw({name: rows.num_rows for name, rows in source.items()}, self.splits, seed)
        used = {name: source[name] for name, _ in drawn.values()}
        require_columns(used, COLUMNS, str(self.data), "These are SQuAD's columns.")
        table = {name: column(used, drawn, name) for name in COLUMNS}
        for name, values in table.items():
            require_values(values, name, nothing=(None, ""))
        return {
            split: _questions(split, *(table[name][split] for name in COLUMNS)) for split in drawn
        }


def _questions(
    split: str, asked: list[str], contexts: list[str], answers: list[dict[str, Any]]
) -> Questions:
    pairs = enumerate(zip(contexts, answers, strict=True))
    return Questions(
        questions=asked,
        contexts=contexts,
        golds=[list(found["text"]) for found in answers],
        spans=[_span(text, found, f"{split}: row {row}") for row, (text, found) in pairs],
    )


def _span(context: str, answers: dict[str, Any], where: str) -> Characters | None:
    """The characters of the first answer."""
    if not answers["text"]:
        return None
    text, begin = answers["text"][0], answers["answer_start"][0]
    if context[begin : begin + len(text)] != text:
        raise PrunusError(
            f"{where}: the answer {text!r} is not at character {begin} of its context, where"
            f" {context[begin : begin + len(text)]!r} stands"
        )
    return begin, begin + len(text)
