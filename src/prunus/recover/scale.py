"""One scale for every unit that stays (mask tuning; Kwon et al., arXiv 2204.09656)."""

import torch
from scipy.sparse.linalg import lsmr
from torch import Tensor

from prunus.gram import Moments
from prunus.recover import Reader, Repair

LIMIT = 10.0
DAMP = 1.0
STEPS = 5
CONVERGED = (0, 1, 2)


class Scale(Repair):
    """Scale what each unit adds so that the residual stream after it equals the teacher's.

    Least squares for one scale a unit: with a_i the unit's contribution to the reader's output on
    all tokens and b what the output should be, (A^T A) s = A^T b for s - 1, by LSMR with a damping
    of 1, stopped at its usual tolerances, which is part of the regularisation. Units of several
    inputs (heads) get a constant in the system that is then dropped, and are left alone where no
    sublayer comes before them, both as in the original.

    Where LSMR does not converge, or a scale leaves [-10, 10], the sublayer stays as it is; the
    original then leaves all later ones untuned as well.
    """

    def mend(self, reader: Reader) -> None:
        """Write the scaled weights of the units that stay."""
        if not reader.stays.any() or (reader.lowest and reader.tile > 1):
            return
        weight, stays = reader.weight, reader.stays.to(reader.weight.device)
        seen = reader.moments.of(stays)
        if reader.bias is not None:
            seen = seen.less(reader.bias.double())
        inputs = stays.nonzero()[:, 0]
        _, unit = (inputs // reader.tile).unique(return_inverse=True)
        normal, right = _system(seen, weight[stays].double(), unit, constant=reader.tile > 1)
        scales = _solved(normal, right)
        if scales is not None and scales[unit].abs().max() <= LIMIT:
            weight[stays] = (weight[stays].double() * scales[unit][:, None]).to(weight)


def _system(
    seen: Moments, weight: Tensor, unit: Tensor, *, constant: bool
) -> tuple[Tensor, Tensor]:
    """A^T A and A^T b from moments alone.

    a_i . a_j is the sum over the inputs of i and of j of gram o (W W^T), a_i . b that of the rows
    of W times those of the cross moments; a constant is a contribution of 1 everywhere.

    Args:
        seen: moments of the inputs that stay.
        weight: [inputs, outputs] W.
        unit: [inputs] which unit an input belongs to.
        constant: whether there is one.
    """
    normal = _by_unit(_by_unit(seen.gram * (weight @ weight.T), unit).T, unit)
    right = _by_unit((weight * seen.cross).sum(1), unit)
    if not constant:
        return normal, right
    beside = _by_unit(seen.x * weight.sum(1), unit)[:, None]
    corner = beside.new_tensor([[seen.tokens * weight.shape[1]]])
    normal = torch.cat([torch.cat([normal, beside], 1), torch.cat([beside.T, corner], 1)])
    return normal, torch.cat([right, seen.y.sum()[None]])


def _by_unit(rows: Tensor, unit: Tensor) -> Tensor:
    """[units, ...] the sums of rows over each unit."""
    return rows.new_zeros(int(unit.max()) + 1, *rows.shape[1:]).index_add(0, unit, rows)


def _solved(normal: Tensor, right: Tensor) -> Tensor | None:
    """The solution, or None where there is none that can be trusted."""
    steps = STEPS * len(normal)
    found, why, *_ = lsmr(
        normal.cpu().numpy(), (right - normal.sum(1)).cpu().numpy(), damp=DAMP, maxiter=steps
    )
    return torch.from_numpy(found).to(normal) + 1 if why in CONVERGED else None
