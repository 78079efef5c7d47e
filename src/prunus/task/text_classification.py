"""Text classification and regression on a labelled table from the hub, a file or a package."""

from typing import Annotated, Any, ClassVar, Literal

from datasets import Dataset
from pydantic import Field, PositiveInt, field_validator, model_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prunus.errors import PrunusError, unknown
from prunus.task._classified import Classified, Split
from prunus.task._clean import social
from prunus.task._labels import class_indices, class_names, like_head, numbers, require_values
from prunus.task._metrics import CLASSES, NUMBERS
from prunus.task._slices import SPLITS, draw
from prunus.task._source import column, open_source, require_columns
from prunus.task._task import TextTask

Columns = dict[str, list[Any]]
MEND = "Set `text` and `label`."


class TextClassification(TextTask):
    """Texts or pairs of texts, each with a class or a number.

    Attributes:
        data: a hub id (looked for under ``$PRUNUS_DATA`` first), a CSV, JSONL or parquet file, a
            folder of such files, ``package:module/file``, or a mapping from split to file.
        config: the hub's configuration.
        text: the column with the text, or the two columns of a pair.
        label: the column with the class or the number.
        encoding: of CSV and JSONL files.
        splits: for ``train``, ``calibration``, ``development`` and ``validation`` either a split
            of the source or a count of rows to draw from its training split.
        max_length: tokens at which a text is cut off.
        metric: accuracy, f1 or matthews, for a regression spearman or pearson; of several, the
            first is the headline. None means accuracy or spearman.
        regression: the label is a number.
        labels: the classes in order; None takes them from the data.
        clean: ``social`` keeps one of the texts that differ only in links, mentions, RT and
            punctuation, and none where their labels differ.
    """

    head: ClassVar[str] = "SequenceClassification"
    pipeline: ClassVar[str | None] = "text-classification"
    data: str | dict[str, str]
    config: str | None = None
    text: str | tuple[str, str] = "text"
    label: str = "label"
    encoding: str = "utf-8"
    max_length: PositiveInt = 128
    metric: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    regression: bool = False
    labels: tuple[str | int, ...] = ()
    clean: Literal["social"] | None = None

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise PrunusError(f"unknown encoding {name!r}; try utf-8 or latin-1") from None
        return name

    @model_validator(mode="after")
    def _known_metrics(self) -> "TextClassification":
        known = NUMBERS if self.regression else CLASSES
        for name in self.metrics:
            if name not in known:
                kind = "regression" if self.regression else "classification"
                raise unknown(f"metric of a {kind}", name, known)
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the headline first."""
        if self.metric is None:
            return ("spearman",) if self.regression else ("accuracy",)
        return (self.metric,) if isinstance(self.metric, str) else self.metric

    def prepare(
        self,
        processor: PreTrainedTokenizerBase,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Classified:
        """Open the data, check it, and draw the splits.

        Args:
            processor: the tokenizer of the model.
            num_labels: outputs of the model's head; None where it is yet to be made.
            seed: draws the calibration rows. The other splits are always the same.
            head_names: the classes as the head orders them; followed where they are the task's.

        Raises:
            PrunusError: the source, a column or a split is missing or empty, or a label lies
                outside the head.
        """
        source = self._source()
        drawn = draw({name: rows.num_rows for name, rows in source.items()}, self.splits, seed)
        texts = [column(source, drawn, text) for text in self._texts]
        for text, table in zip(self._texts, texts, strict=True):
            require_values(table, text)
        values = column(source, drawn, self.label)
        require_values(values, self.label, nothing=(None, ""))
        feature = source[next(iter(drawn.values()))[0]].features[self.label]
        names, labels = self._labelled(values, feature, num_labels, head_names)
        return Classified(
            tokenizer=processor,
            splits={s: Split(tuple(table[s] for table in texts), labels[s]) for s in drawn},
            label_names=names,
            num_labels=num_labels or len(names),
            metrics=self.metrics,
            regression=self.regression,
            max_length=self.max_length,
            seed=seed,
        )

    @property
    def _texts(self) -> tuple[str, ...]:
        return (self.text,) if isinstance(self.text, str) else self.text

    def _source(self) -> dict[str, Dataset]:
        """The source's splits; those in use are checked and cleaned."""
        source = open_source(self.data, self.config, self.encoding, self._texts)
        names = {*SPLITS, *self.splits.values()} if len(source) > 1 else set(source)
        used = {name: rows for name, rows in source.items() if name in names}
        require_columns(used, (*self._texts, self.label), str(self.data), MEND)
        return source | {name: self._cleaned(rows) for name, rows in used.items()}

    def _cleaned(self, rows: Dataset) -> Dataset:
        if self.clean is None:
            return rows
        parts = zip(*(rows[column] for column in self._texts), strict=True)
        return rows.select(social([" ".join(text) for text in parts], rows[self.label]))

    def _labelled(
        self, values: Columns, feature: object, head: int | None, head_names: list[str] | None
    ) -> tuple[list[str], dict[str, Tensor]]:
        if self.regression:
            return [self.label], numbers(values, self.label, head)
        names = like_head(class_names(values, feature, self.label, self.labels), head_names)
        return names, class_indices(values, feature, self.label, names, head)
