"""How labels pass through convolutions, of which groups of channels may see each other only."""

from typing import Any

import numpy as np
from torch import Tensor

from prunus.anatomy._trace.labels import Factor, Factors, spread
from prunus.anatomy._trace.tracer import Tracer


def convolution(tracer: Tracer, given: dict[str, Any], out: Tensor) -> Factors:
    """Inputs are tied to columns, outputs to rows; spatial dimensions are fixed.

    Args:
        tracer: keeps the labels.
        given: of ``aten::convolution``.
        out: [sample, channel, *space].
    """
    x, weight, groups = given["input"], given["weight"], given["groups"]
    for factor in (*tracer.of(x), *tracer.of(weight)):
        if any(dim > 1 for dim in spread(factor)):
            tracer.fix(factor, "convolved over")
    seen, turned = tracer.along(x, 1), given["transposed"]
    inputs, outputs = tracer.along(weight, 1 - turned), tracer.along(weight, int(turned))
    if groups == 1:
        tracer.labels.unite(seen, inputs)
        tracer.end_at_layer(seen)
        made = outputs
    elif turned:
        made = _transposed(tracer, seen, inputs, outputs, groups)
    else:
        made = _grouped(tracer, seen, inputs, outputs, groups)
    if given.get("bias") is not None:
        tracer.labels.unite(made, tracer.along(given["bias"], 0))
    found = made.reshape(1, -1, *[1] * (out.dim() - 2))
    rest = [factor for factor in tracer.of(x) if spread(factor) == (0,)]
    return (*rest, found) if made.any() and made.size > 1 else tuple(rest)


def _grouped(tracer: Tracer, seen: Factor, inputs: Factor, outputs: Factor, groups: int) -> Factor:
    """Whole groups leave, so that the others stay as they are."""
    unit = tracer.sized("groups", groups)[:, None]
    tracer.labels.unite(seen.reshape(groups, -1), unit)
    tracer.labels.unite(outputs.reshape(groups, -1), unit)
    if inputs.size > 1:
        tracer.fix(inputs, "one group's channels")
    return outputs


def _transposed(
    tracer: Tracer, seen: Factor, inputs: Factor, outputs: Factor, groups: int
) -> Factor:
    unit = tracer.sized("groups", groups)
    tracer.labels.unite(seen, inputs)
    tracer.labels.unite(inputs.reshape(groups, -1), unit[:, None])
    if outputs.size > 1:
        tracer.fix(outputs, "one group's channels")
    return np.repeat(unit, outputs.size)
