"""The contract of a repair."""

from collections.abc import Iterable

from torch import Tensor, nn

from prunus.probe.loss import Batch
from prunus.registry import Part
from prunus.site import Site


class Repair(Part):
    """Mends a student in place, one reader at a time, in the order of the forward pass."""

    def repair(
        self,
        student: nn.Module,
        teacher: nn.Module,
        site: Site,
        stays: Tensor,
        batches: Iterable[Batch],
    ) -> None:
        """Mend the reader of a site.

        Args:
            student: the model under masks, everything before the reader already mended.
            teacher: the dense model.
            site: a site that the reader reads.
            stays: [inputs] which inputs of the reader stay.
            batches: calibration data.
        """
        raise NotImplementedError
