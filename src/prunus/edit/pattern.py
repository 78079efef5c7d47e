"""Whether the zeros of a weight lie in a pattern: whole blocks, or enough of every few inputs."""

from torch import Tensor

from prunus.errors import PrunusError


def in_blocks(weight: Tensor, block: tuple[int, int]) -> bool:
    """Whether every block is zero as a whole, or nowhere.

    Args:
        weight: [outputs, inputs] or, of a convolution, [outputs, inputs, *kernel]: each place of
            the kernel is a matrix of its own. GPT-2's ``Conv1D`` holds the transpose.
        block: neighbouring outputs and inputs, such as (4, 1); (1, 1) always holds.

    Raises:
        PrunusError: the block does not divide the weight.
    """
    rows, columns = block
    outputs, inputs = weight.shape[:2]
    if outputs % rows or inputs % columns:
        raise _undivided(weight, f"{rows}x{columns}")
    tiles = (outputs // rows, rows, inputs // columns, columns, -1)
    counts = (weight != 0).reshape(tiles).sum((1, 3))
    return bool(((counts == 0) | (counts == rows * columns)).all())


def n_of_m(weight: Tensor, n: int, m: int) -> bool:
    """Whether of every ``m`` neighbouring inputs at most ``n`` are not zero.

    Args:
        weight: as for :func:`in_blocks`.
        n: how many may stay, in each output and at each place of a kernel.
        m: of how many, counted from the first input.

    Raises:
        PrunusError: ``m`` does not divide the inputs.
    """
    outputs, inputs = weight.shape[:2]
    if inputs % m:
        raise _undivided(weight, f"{n}:{m}")
    counts = (weight != 0).reshape(outputs, inputs // m, m, -1).sum(2)
    return bool((counts <= n).all())


def _undivided(weight: Tensor, pattern: str) -> PrunusError:
    shape = "x".join(map(str, weight.shape))
    return PrunusError(
        f"a weight of {shape} (outputs x inputs) has no pattern {pattern}, which does not divide it"
    )
