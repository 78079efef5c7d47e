"""torch's own attention with adapters: it reads its projections' weights by itself."""

from types import SimpleNamespace
from typing import Any, ClassVar

from torch import Tensor, nn

from prunus.adapt._layer import Adapted


class AdaptedAttention(Adapted):
    """Before :class:`torch.nn.MultiheadAttention`: one delta of its fused projections.

    Its ``out_proj`` is adapted as well, as a linear layer. Effective weights are computed in every
    forward pass, which is little beside the attention.
    """

    holds: ClassVar[str] = "in_proj_weight"
    out_proj: Any

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """The stock attention's answer, with effective weights."""
        stock = type(self).__bases__[1]
        plain = object.__new__(stock)
        held = self._parameters[self.holds] if self.fused else self.effective_weight()
        weights = {**self._parameters, self.holds: held}
        vars(plain).update({**vars(self), "_parameters": weights, "out_proj": self._out()})
        return stock.forward(plain, *args, **kwargs)

    def _out(self) -> SimpleNamespace:
        return SimpleNamespace(weight=self.out_proj.effective_weight(), bias=self.out_proj.bias)


def opaque(model: nn.Module) -> set[str]:
    """The modules whose weights are read by the module around them, which never calls them.

    An attention reads its output projection so; and torch's encoder layer, in its fast path, all
    that is in it.
    """
    around = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
    return {
        f"{name}.{inner}".removeprefix(".")
        for name, module in model.named_modules()
        if isinstance(module, around)
        for inner, _ in module.named_modules()
        if inner
    }
