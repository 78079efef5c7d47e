"""The model's own loss on the labels of the data."""

from typing import ClassVar

from torch import Tensor

from prunus.errors import PrunusError
from prunus.loss._term import Output, Term
from prunus.probe.loss import Batch
from prunus.shares import weighed_loss


class Labels(Term):
    """What the model itself makes of the labels: usually a mean cross entropy."""

    reads: ClassVar[tuple[str, ...]] = ("loss",)
    taught: ClassVar[bool] = False

    def value(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """[] the model's loss.

        Raises:
            PrunusError: the batch has no labels, or the model makes no loss of them.
        """
        loss = student.get("loss")
        if loss is None:
            raise PrunusError(
                f"loss: labels: the batch has {sorted(batch)}, and the model made no loss of it;"
                " add labels (a span's: start_positions, end_positions), or leave the term out"
            )
        return weighed_loss(loss, batch)
