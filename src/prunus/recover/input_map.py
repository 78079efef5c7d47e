"""What a sublayer reads, brought back to what it read in the dense model."""

from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from prunus.gram import fit
from prunus.recover import Reader, Repair


class InputMap(Repair):
    """Fold a linear map of the stream into the projections that read it.

    u_dense ~ M u_student + m by ridge regression towards the identity; every projection W u + b of
    the sublayer becomes W M u + (W m + b). Projections without a bias get M alone.

    Attributes:
        ridge: pull towards the identity, relative to the mean variance of the stream.
    """

    at: ClassVar[Literal["reader", "entry"]] = "entry"
    ridge: PositiveFloat = 0.1

    def mend(self, reader: Reader) -> None:
        """Write the mapped weights into the sublayer's projections."""
        seen = reader.moments
        units = reader.site.producers.items()
        producers = [(reader.student.get_submodule(name), axis) for name, axis in units]
        biased = all(isinstance(getattr(p, "bias", None), Tensor) for p, _ in producers)
        identity = torch.eye(len(seen.gram), dtype=torch.float64, device=seen.gram.device)
        mapped, constant = fit(seen, identity, self.ridge, centred=biased)
        for module, outputs in producers:
            weight = module.get_parameter("weight").detach().movedim(outputs, 0)
            shift = weight.double() @ constant
            weight.copy_(weight.double() @ mapped.T)
            if biased:
                module.get_parameter("bias").detach().add_(shift.to(weight))
