"""Which weights of a model are zero, as the report holds it."""

from collections.abc import Mapping

from torch import Tensor, nn

from prunus.measure.density import Weight, as_neural_compressor, densities
from prunus.measure.wasted import wasted
from prunus.report._zeroed import Matrix, Zeros


def zeros(dense: nn.Module, model: nn.Module, batch: Mapping[str, Tensor]) -> Zeros | None:
    """The zeros of every weight; None where no layer holds more than chance explains.

    Args:
        dense: the model before, of which only the shapes count.
        model: the model after.
        batch: one sample, by which work on zeros is counted.
    """
    found = densities(model)
    if not found.pruned:
        return None
    return Zeros(
        layers=tuple(map(_matrix, found.layers)),
        embeddings=tuple(map(_matrix, found.embeddings)),
        nonzero=found.nonzero,
        of=found.of,
        neural_compressor=as_neural_compressor(found, densities(dense)),
        work=wasted(model, batch).share,
    )


def _matrix(own: Weight) -> Matrix:
    return Matrix(**vars(own), of=own.of, pruned=own.pruned)
