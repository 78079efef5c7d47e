"""New weights for the units that stay, in closed form (K-prune, arXiv 2308.03449, eq. 12)."""

from typing import Annotated

from pydantic import Field

from prunus.gram import fit
from prunus.recover import Reader, Repair


class LeastSquares(Repair):
    """Fit the reader so that the residual stream after it equals the dense model's.

    Attributes:
        ridge: pull towards the weights as they are, relative to the mean variance of an input.
        bias: fit the bias too, also of a reader that loses every input.
    """

    ridge: Annotated[float, Field(ge=0)] = 0.03
    bias: bool = True

    def mend(self, reader: Reader) -> None:
        """Write the fitted weight (inputs that stay) and bias into the student's reader."""
        weight, bias, stays = reader.weight, reader.bias, reader.stays.to(reader.weight.device)
        seen = reader.moments.of(stays)
        centred = self.bias and bias is not None
        if bias is not None and not centred:
            seen = seen.less(bias.double())
        fitted, constant = fit(seen, weight[stays].double(), self.ridge, centred=centred)
        weight[stays] = fitted.to(weight)
        if centred and bias is not None:
            bias.copy_(constant)
