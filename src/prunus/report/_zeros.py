"""Weights that are zero in place: a row for each layer that holds them, and what they cost."""

from math import prod

from prunus.report import _units as show
from prunus.report._schema import Pair
from prunus.report._zeroed import Matrix, Zeros

COLUMNS = ("shape", "density", "not zero", "live blocks")


def rows(zeros: Zeros) -> list[tuple[str, tuple[str, ...]]]:
    """(layer, a cell for every column) of the layers with zeros."""
    return [_row(own) for own in zeros.layers if own.pruned]


def work(flops: Pair | None, zeros: float | None) -> str:
    """What fraction of the work is really gone, and what of the rest only multiplies zeros.

    Args:
        flops: None where the dense model is not known.
        zeros: None where nothing was counted, or there are none.
    """
    said = []
    if flops is not None:
        gone = show.percent(1 - flops.pruned / flops.dense)
        said.append(f"{gone} of the dense model's FLOPs are gone")
    if zeros is not None:
        of = "them" if flops is None else "those that are left"
        said.append(f"{show.percent(zeros)} of {of} multiply zeros")
    return "; ".join(said)


def told(zeros: Zeros) -> str:
    """All layers together, and the same in neural-compressor's words."""
    pruned = sum(own.pruned for own in zeros.layers)
    nonzero, of = (sum(getattr(own, key) for own in zeros.embeddings) for key in ("nonzero", "of"))
    embedded = f", and {_density(nonzero, of)} of the embeddings" if of else ""
    return (
        f"{pruned} of {len(zeros.layers)} linear layers and convolutions hold zeros: the density of"
        f" all of them is {_density(zeros.nonzero, zeros.of)}{embedded}. As neural-compressor"
        f" counts, {zeros.neural_compressor:.4f} are removed: the zeros of the pruned layers over"
        " the elements of all."
    )


def _row(own: Matrix) -> tuple[str, tuple[str, ...]]:
    shape = "×".join(map(str, own.shape))
    cells = (shape, _density(own.nonzero, own.of), show.scaled(own.nonzero), _blocks(own))
    return own.name, cells


def _blocks(own: Matrix) -> str:
    """How many blocks are left of how many, and their size; nothing where zeros are single."""
    if own.block is None or own.live is None or prod(own.block) == 1:
        return show.NONE
    rows, columns = own.block
    return f"{own.live:,} of {own.of // (rows * columns):,}, {rows}×{columns}"


def _density(nonzero: int, of: int) -> str:
    return f"{nonzero / of:.4f}"
