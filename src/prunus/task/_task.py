"""What every task is: settings that make data ready for a model."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, PositiveInt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prunus.errors import PrunusError
from prunus.networks._fresh import Fresh
from prunus.registry import Part
from prunus.task._network import open_tokenizer
from prunus.task._prepared import Prepared
from prunus.task._slices import SplitName


class Task(Part, ABC):
    """What a model is asked to do.

    Attributes:
        head: the head that answers it, as transformers names its classes.
        pipeline: what the hub calls such tasks; None where it knows none.
        splits: for ``train``, ``calibration``, ``development`` and ``validation`` either a split
            of the source or a count of rows to draw from its training split.
    """

    head: ClassVar[str]
    pipeline: ClassVar[str | None] = None
    splits: dict[SplitName, str | PositiveInt] = Field(default_factory=dict)

    @abstractmethod
    def processor(self, where: str | Path | None) -> Any:
        """What makes a model's inputs, as it lies beside the model.

        Args:
            where: the model's folder or hub id; None for a network that is yet to be made.

        Raises:
            PrunusError: there is none.
        """

    def answered_by(self, model: PreTrainedModel) -> bool:
        """Whether a model has the head that answers it."""
        return f"For{self.head}" in type(model).__name__

    def cut_off(self, length: int) -> Self:
        """The same task with examples cut off at so many tokens.

        Raises:
            PrunusError: its examples have no tokens.
        """
        raise PrunusError(f"max_length {length}: the examples of this task have no tokens")

    @abstractmethod
    def prepare(
        self,
        processor: Any,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Prepared[Any]:
        """Open the data, check it, and draw the splits.

        Args:
            processor: what makes the model's inputs.
            num_labels: outputs of the model's head; None where it is yet to be made.
            seed: draws the calibration rows. The other splits are always the same.
            head_names: the classes as the head orders them.

        Raises:
            PrunusError: the data is nowhere, or does not fit the head.
        """


class TextTask(Task):
    """A task whose examples are texts.

    Attributes:
        max_length: tokens at which an example is cut off.
    """

    max_length: PositiveInt | None = None

    def processor(self, where: str | Path | None) -> PreTrainedTokenizerBase:
        """The tokenizer of a model.

        Args:
            where: the model's folder or hub id.

        Raises:
            PrunusError: the folder holds none, or the network is yet to be made.
        """
        if where is None:
            raise PrunusError(
                "a new network has no tokenizer: it can learn image_classification; name a"
                " pretrained model for texts, or a new t5 for translation"
            )
        try:
            return open_tokenizer(where)
        except PrunusError:
            raise
        except Exception as error:  # a broken file makes transformers raise anything
            raise PrunusError(f"{where} holds no tokenizer that opens: {error}") from None

    def tokenizer_for(self, network: Fresh) -> PreTrainedTokenizerBase:
        """A tokenizer for a new network, learnt from the training split.

        Raises:
            PrunusError: the task is not learnt from scratch, or has no training split.
        """
        raise PrunusError(
            f"a new {network.name} learns translation alone from scratch; name a pretrained model"
        )

    def cut_off(self, length: int) -> Self:
        """The same task with texts cut off at so many tokens."""
        return self.model_copy(update={"max_length": length})
