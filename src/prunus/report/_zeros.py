"""Weights that are zero in place: a row for each layer that holds them, and their sum."""

from prunus.report import _units as show
from prunus.report._schema import Report
from prunus.report._zeroed import Matrix, Zeros

COLUMNS = ("shape", "density", "not zero")


def rows(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """(layer, a cell for every column) of the layers with zeros; nothing where there are none."""
    return [] if report.zeros is None else [_row(own) for own in report.zeros.layers if own.pruned]


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
    return own.name, (shape, _density(own.nonzero, own.of), show.scaled(own.nonzero))


def _density(nonzero: int, of: int) -> str:
    return f"{nonzero / of:.4f}"
