"""The blocks that a delta is put together from, and the module that owns those of many layers."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

OWNED = "adapter_prototypes"
"""The child of a model that holds the prototypes which its layers share."""


class Prototypes(nn.Module):
    """Blocks [n, p, q]."""

    def blocks(self) -> Tensor:
        """All of them, differentiable."""
        raise NotImplementedError


class Products(Prototypes):
    """Blocks of low rank: ``cols`` [n, p, rank] times ``rows`` [n, rank, q]."""

    def __init__(self, cols: Tensor, rows: Tensor) -> None:
        """Learn from ``cols`` and ``rows``."""
        super().__init__()
        self.cols, self.rows = nn.Parameter(cols), nn.Parameter(rows)

    def blocks(self) -> Tensor:
        """The products."""
        return self.cols @ self.rows


class Matrices(Prototypes):
    """Blocks of full rank: ``full`` [n, p, q]."""

    def __init__(self, full: Tensor) -> None:
        """Learn from ``full``."""
        super().__init__()
        self.full = nn.Parameter(full)

    def blocks(self) -> Tensor:
        """The blocks themselves."""
        return self.full


class Shared(nn.ModuleDict):
    """Prototypes by their sizes. In a row of layers it is one that does nothing."""

    def forward(self, x: Any) -> Any:
        """The input."""
        return x


def shared(owner: nn.Module, sizes: str, draw: Callable[[], Prototypes]) -> Prototypes:
    """The prototypes of these sizes that a model owns; drawn where it has none yet."""
    held: Any = getattr(owner, OWNED, None)
    if held is None:
        held = Shared()
        setattr(owner, OWNED, held)
    if sizes not in held:
        held[sizes] = draw()
    return held[sizes]
