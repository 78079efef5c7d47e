"""The contract of a term of a training loss."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from prunus.probe.loss import Batch
from prunus.registry import Part

Output = Mapping[str, Any]
"""What a transformers model gives, by name."""


class Term(Part):
    """One term of a sum: a scalar of what a student and its teacher give for a batch.

    Attributes:
        weight: that the term has in the sum.
        reads: what it asks of the passes: "loss" (of the labels, which are withheld from the model
            where no term reads it), "hidden_states", "attentions".
        taught: whether it needs a teacher.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    taught: ClassVar[bool] = True
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    def value(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """[] the term, not yet weighted; a mean, so that it does not grow with the batch.

        Args:
            student: what the student gives, with gradients.
            teacher: what the teacher gives; empty where the term is not ``taught``.
            batch: the whole batch, labels included.

        Raises:
            PrunusError: the two cannot be compared, or something that it reads is missing.
        """
        raise NotImplementedError

    def require(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse, before any pass, a teacher whose answers would mean something else."""
