"""Processes that train one network: they see the same gradients, and make one choice."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prunus import ranks
from prunus.errors import PrunusError
from prunus.sharded import sharded

if TYPE_CHECKING:
    from prunus.drive._pruner import Pruner

APART = 1e-4
"""By how much the norms of gradients may differ, relative to them: they are the same numbers."""


def require_reduced(gradients: Iterable[Tensor | None]) -> None:
    """Check that every process has the same gradients.

    Args:
        gradients: of what this process holds; of parts of parameters nothing can be told.

    Raises:
        PrunusError: they differ; all processes raise.
    """
    if ranks.world() == 1:
        return
    whole = [own for own in gradients if own is not None and not sharded(own)]
    squares = [torch.linalg.vector_norm(own, dtype=torch.float64).square() for own in whole]
    norm = torch.stack(squares).sum().sqrt() if squares else torch.zeros(())
    norms = [float(own) for own in ranks.collected({ranks.rank(): norm})]
    if max(norms) - min(norms) > APART * max(norms):
        told = ", ".join(f"rank {place}: {norm:.6g}" for place, norm in enumerate(norms))
        raise PrunusError(
            f"the gradients of this run's processes differ (their norms: {told}), so each would"
            " prune another network; train it wrapped in DistributedDataParallel, which is made"
            " after the pruner, or prepared by accelerate"
        )


def share(pruner: "Pruner") -> None:
    """All processes go on with the first one's masks.

    Raises:
        PrunusError: they are at different steps, or have other sites; all processes raise.
    """
    eased = [track.easing for track in pruner.tracks]
    parts = [own for one in eased for own in (*one.goals.values(), *one.ranks.values())]
    ranks.spread([*pruner.masks.values(), *parts])
    if ranks.world() > 1:
        ranks.agree("the plan", f"{pruner.done} {pruner.plan.fingerprint()}".encode())
