"""How much of what a model computes multiplies by weights that are zero."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from prunus.measure.density import LAYERS
from prunus.probe.work import work


@dataclass(frozen=True)
class Wasted:
    """The work of one forward pass.

    Attributes:
        flops: of all operations.
        zeros: how many of them multiply by a weight that is zero.
    """

    flops: int
    zeros: int

    @property
    def share(self) -> float:
        """The fraction that could be left out, if the zeros were passed over."""
        return self.zeros / self.flops if self.flops else 0.0


def wasted(model: nn.Module, batch: Mapping[str, Tensor]) -> Wasted:
    """Count the work on zeros, of linear layers and convolutions: their FLOPs times their zeros.

    Every element of such a weight is multiplied equally often, as products of matrices are counted
    (padding around images too).

    Args:
        model: any model.
        batch: keyword arguments of one forward pass.
    """
    spent = work(model, batch)
    layers = {name: own for name, own in model.named_modules() if isinstance(own, LAYERS)}
    zeros = sum(spent[name] * _share(own) for name, own in layers.items() if name in spent)
    return Wasted(sum(spent.values()), round(zeros))


def _share(layer: nn.Module) -> float:
    weight: Tensor = layer.get_parameter("weight").detach()
    return 1 - int(weight.count_nonzero()) / weight.numel()
