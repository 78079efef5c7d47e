"""Units exchanged within a sublayer, by what they lose together (Kwon et al., arXiv 2204.09656)."""

from typing import ClassVar

from torch import Tensor

from prunus.errors import PrunusError
from prunus.recover import Reader, Repair
from prunus.recover._repair import mask_of


class Rearrange(Repair):
    """Keep as many units as were planned, but those whose loss is least together.

    Removing the units S of a sublayer costs about 1/2 1^T F_S 1, F = sum over batches of g g^T, g
    the gradient of the mean loss in the units' masks: the block-diagonal Fisher information
    (Fisher-based mask rearrangement), which knows what units lose jointly beside what each loses
    alone. The gradients are those of the criterion's loss.
    """

    reads: ClassVar[tuple[str, ...]] = ("unit_batch_gradient_gram",)

    def pool(self, kept: int, units: int) -> int:
        """Any unit may take another's place."""
        return units if kept else 0

    def mend(self, reader: Reader) -> None:
        """Choose the units that stay.

        Raises:
            PrunusError: scoring took no gradients.
        """
        units = reader.units
        count = int(units.sum())
        if count in (0, len(units)):
            return
        seen = reader.evidence.seen if reader.evidence else {}
        if "unit_batch_gradient_gram" not in seen:
            raise PrunusError(
                "recover: rearrange needs gradients in the units' masks, and the criterion has no"
                " loss of its own to take them of; use score: fisher or taylor"
            )
        reader.keep(
            ~mask_of(exchanged(seen["unit_batch_gradient_gram"], len(units) - count), len(units))
        )


def exchanged(fisher: Tensor, count: int) -> Tensor:
    """Indices of ``count`` units to remove: greedy exchanges that lower 1^T F_S 1.

    S begins as the units of least F_ii. Every other unit, in ascending order of F_ii, joins S, and
    the one leaves without which S loses least. With r = F 1_S kept up to date, leaving S changes
    the loss by F_jj - 2 r_j.

    Args:
        fisher: [units, units] symmetric F, float64.
        count: how many units go.
    """
    own = fisher.diagonal()
    order = own.argsort(stable=True)
    gone = order[:count].clone()
    joint = fisher[:, gone].sum(1)
    for unit in order[count:]:
        joint += fisher[:, unit]
        change = own[gone] - 2 * joint[gone]
        best = change.argmin()
        if change[best] < own[unit] - 2 * joint[unit]:
            unit, gone[best] = gone[best].clone(), unit
        joint -= fisher[:, unit]
    return gone
