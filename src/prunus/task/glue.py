"""GLUE by name: its columns, its metrics, its splits (Wang et al., arXiv 1804.07461)."""

from typing import Any, ClassVar

from pydantic import field_validator
from transformers import PreTrainedTokenizerBase

from prunus.errors import unknown
from prunus.task._classified import Classified
from prunus.task._task import TextTask
from prunus.task.text_classification import TextClassification

PAIR = ("sentence1", "sentence2")
SUBSETS: dict[str, dict[str, Any]] = {
    "cola": {"text": "sentence", "metric": ("matthews", "accuracy"), "max_length": 64},
    "mnli": {"text": ("premise", "hypothesis"), "splits": {"validation": "validation_matched"}},
    "mrpc": {"text": PAIR, "metric": ("accuracy", "f1")},
    "qnli": {"text": ("question", "sentence")},
    "qqp": {"text": ("question1", "question2"), "metric": ("accuracy", "f1")},
    "rte": {"text": PAIR},
    "sst2": {"text": "sentence", "max_length": 64},
    "stsb": {"text": PAIR, "metric": ("spearman", "pearson"), "regression": True},
}


class Glue(TextTask):
    """One of the GLUE tasks, from the hub or its mirror under ``$PRUNUS_DATA``.

    Attributes:
        subset: cola, mnli (matched), mrpc, qnli, qqp, rte, sst2 or stsb.
        splits: as for ``text_classification``, over the subset's own.
        max_length: tokens at which a text is cut off; None is 64 for single sentences and 128
            for pairs.
    """

    head: ClassVar[str] = TextClassification.head
    pipeline: ClassVar[str | None] = TextClassification.pipeline
    subset: str

    @field_validator("subset")
    @classmethod
    def _known(cls, subset: str) -> str:
        if subset not in SUBSETS:
            raise unknown("GLUE subset", subset, SUBSETS)
        return subset

    @property
    def data(self) -> str:
        """Where the hub has it."""
        return "nyu-mll/glue"

    @property
    def config(self) -> str:
        """How it is called there."""
        return self.subset

    def table(self) -> TextClassification:
        """The same task with its columns and metrics spelt out."""
        settings = dict(SUBSETS[self.subset])
        settings["splits"] = settings.get("splits", {}) | self.splits
        if self.max_length is not None:
            settings["max_length"] = self.max_length
        return TextClassification(data=self.data, config=self.config, **settings)

    def prepare(
        self,
        processor: PreTrainedTokenizerBase,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Classified:
        """Open the data, check it, and draw the splits: see ``TextClassification.prepare``.

        Args:
            processor: the tokenizer of the model.
            num_labels: outputs of the model's head; None where it is yet to be made.
            seed: draws the calibration rows.
            head_names: the classes as the head orders them.

        Raises:
            PrunusError: the data is nowhere, or does not fit the head.
        """
        return self.table().prepare(processor, num_labels, seed, head_names)
