"""In which blocks the zeros of a weight lie, and a weight as a list of its blocks."""

from math import prod

import torch
from torch import Tensor

Block = tuple[int, int]

SQUARES = (64, 32, 16, 8, 4)
LEAST = 0.05
"""The share of a weight's bytes that leaving its zero blocks out must save."""


def block_of(weight: Tensor) -> Block | None:
    """The block by which a weight takes the fewest bytes: its live blocks, and a bit for each.

    Tried are squares, whole rows and columns, runs of four and single weights, so that zeros that
    lie in no blocks are found as (1, 1).

    Args:
        weight: [rows, columns, *kernel], as it lies in a module; each place of a kernel is a matrix
            of its own.

    Returns:
        (rows, columns) of a block; None where less than :data:`LEAST` of the bytes would be saved.
    """
    live = weight != 0
    if not weight.numel() or live.all():
        return None
    bits = 8 * weight.element_size()
    taken = {block: _bits(live, block, bits) for block in _candidates(weight.shape)}
    best = min(taken, key=lambda block: taken[block])
    return best if taken[best] <= (1 - LEAST) * bits * weight.numel() else None


def alive(weight: Tensor, block: Block) -> Tensor:
    """Which blocks of a weight hold anything but zeros: [kernel * rows / p, columns / q] bool.

    Args:
        weight: as for :func:`block_of`.
        block: (p, q), which divides the rows and columns.
    """
    held = (weight != 0).view(torch.uint8)  # torch is much slower in finding any of a bool
    return _apart(held, block).amax(1).amax(2).bool()


def tiles(weight: Tensor, block: Block) -> Tensor:
    """A weight's blocks: [kernel * rows / p, columns / q, p, q].

    Args:
        weight: as for :func:`block_of`.
        block: (p, q), which divides the rows and columns.
    """
    return _apart(weight, block).transpose(1, 2)


def joined(blocks: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The weight that :func:`tiles` took apart.

    Args:
        blocks: [kernel * rows / p, columns / q, p, q].
        shape: of the weight, [rows, columns, *kernel].
    """
    rows, columns = shape[:2]
    matrix = blocks.transpose(1, 2).reshape(prod(shape[2:]), rows, columns)
    return matrix.permute(1, 2, 0).reshape(shape)


def _apart(weight: Tensor, block: Block) -> Tensor:
    """[kernel * rows / p, p, columns / q, q]."""
    rows, columns = weight.shape[:2]
    p, q = block
    matrix = weight.reshape(rows, columns, -1).permute(2, 0, 1)
    return matrix.reshape(-1, p, columns // q, q)


def _candidates(shape: torch.Size) -> list[Block]:
    """Larger blocks first, which win where others take as much."""
    rows, columns = shape[:2]
    wanted = [*((n, n) for n in SQUARES), (1, columns), (rows, 1), (4, 1), (1, 4), (1, 1)]
    return [(p, q) for p, q in wanted if rows % p == 0 and columns % q == 0]


def _bits(live: Tensor, block: Block, each: int) -> int:
    held = alive(live, block)
    return int(held.sum()) * prod(block) * each + held.numel()
