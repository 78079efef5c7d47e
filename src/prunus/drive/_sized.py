"""From a size of the saved weights to a density of the model's parameters."""

from torch import nn
from transformers import PreTrainedModel

from prunus.anatomy import Anatomy
from prunus.errors import PrunusError
from prunus.measure.size import around, parameters
from prunus.select import Budget, params
from prunus.select._least import floors


def sized(budget: Budget, model: PreTrainedModel, sites: Anatomy) -> Budget:
    """The budget with the density that its ``max_bytes`` comes to; others as they are.

    Parameters count with the bytes of the model's widest dtype, beside buffers and the file's
    header, so that the file is never larger than what was asked for.

    Args:
        budget: how much may stay.
        model: in the dtype that it is saved in.
        sites: what may go.

    Raises:
        PrunusError: the model is as small already, or cannot be made so small.
    """
    if budget.max_bytes is None:
        return budget
    cost, rest = params(sites), around(model)
    wide = max(tensor.element_size() for tensor in model.parameters())
    allowed, whole = (budget.max_bytes - rest) // wide, parameters(model)
    if allowed >= whole:
        raise PrunusError(
            f"max_bytes: {budget.max_bytes:,} were asked for, and the model takes"
            f" {whole * wide + rest:,} already: nothing has to go"
        )
    smallest = cost(floors(sites, budget, cost))
    if allowed < smallest:
        raise PrunusError(
            f"max_bytes: {budget.max_bytes:,} were asked for; the smallest that these sites, rules"
            f" and floors can make is {smallest * wide + rest:,} bytes, of which embeddings alone"
            f" take {_embeddings(model) * wide:,}; ask for more, or let more kinds of sites go"
        )
    return budget.settled((allowed + 0.5) / whole)


def _embeddings(model: nn.Module) -> int:
    tables = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}
    return sum(table.numel() for table in tables)
