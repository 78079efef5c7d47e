"""New values for the single weights that stay, in closed form."""

from typing import ClassVar, Literal

from pydantic import PositiveFloat
from torch import Tensor

from prunus.gram import fit_within
from prunus.recover._repair import Reader, Repair
from prunus.site import expand


class Refit(Repair):
    """Give a linear layer whose single weights went the outputs that it had, by least squares.

    For every output the weights that stay are fitted to x W on the layer's inputs, all at once
    (the masked regression that SparseGPT, arXiv 2301.00774, section 3.1, approximates); which of
    them stay is as planned. The bias takes up what the mean changes by.

    Attributes:
        ridge: pull towards the weights as they are, relative to the mean variance of an input.
    """

    at: ClassVar[Literal["reader", "entry", "weights", "module"]] = "weights"
    ridge: PositiveFloat = 0.01

    def mend(self, reader: Reader) -> None:
        """Write the fitted weights, and the bias where there is one."""
        weight, bias, seen = reader.weight, reader.bias, reader.moments
        before = weight.double()
        about = seen if bias is None else seen.centred()
        fitted = fit_within(about.gram, before, self._support(reader), self.ridge)
        if bias is not None:
            bias.add_(((seen.x / seen.tokens) @ (before - fitted)).to(bias))
        weight.copy_(fitted)

    def _support(self, reader: Reader) -> Tensor:
        """[inputs, outputs] which weights stay."""
        part, shape = reader.site.inlet, reader.student.get_parameter(reader.site.inlet.tensor)
        stays = expand(part, reader.stays.to(shape.device), tuple(shape.shape))
        return stays.movedim(reader.site.input_axis, 0)
