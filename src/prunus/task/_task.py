"""What every task is: settings that make data ready for a tokenizer."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from transformers import PreTrainedTokenizerBase

from prunus.registry import Part
from prunus.task._prepared import Prepared
from prunus.task._slices import SplitName


class Task(Part, ABC):
    """What a model is asked to do.

    Attributes:
        head: the head that answers it, as transformers names its classes.
        splits: for ``train``, ``calibration``, ``development`` and ``validation`` either a split
            of the source or a count of rows to draw from its training split.
        max_length: tokens at which an example is cut off.
    """

    head: ClassVar[str]
    splits: dict[SplitName, str | PositiveInt] = Field(default_factory=dict)
    max_length: PositiveInt | None = None

    @abstractmethod
    def prepare(
        self,
        tokenizer: PreTrainedTokenizerBase,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Prepared[Any]:
        """Open the data, check it, and draw the splits.

        Args:
            tokenizer: of the model.
            num_labels: outputs of the model's head; None where it is yet to be made.
            seed: draws the calibration rows. The other splits are always the same.
            head_names: the classes as the head orders them.

        Raises:
            PrunusError: the data is nowhere, or does not fit the head.
        """
