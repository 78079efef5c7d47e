"""How labels pass through operations that mix entries: reductions, pooling, norms."""

from typing import Any

import numpy as np

from prunus.anatomy._trace.labels import Factors, spread
from prunus.anatomy._trace.operands import Arguments, first, subject, together, untouched
from prunus.anatomy._trace.tracer import Tracer


def reduce(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """A sum, mean or maximum: labelled entries that are reduced over always stay."""
    x, dims = subject(given), given.get("dim")
    dims = range(x.dim()) if dims is None or dims == [] else dims
    mixed = {dim % x.dim() for dim in ([dims] if isinstance(dims, int) else dims)}
    found = untouched(tracer, x, mixed, "reduced over")
    if given.get("keepdim"):
        return found
    return tuple(np.squeeze(factor, tuple(mixed)) for factor in found)


def mixed(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Entries along a dimension see each other, as in a softmax."""
    dims: Any = given["dims"] if "dims" in given else given["dim"]
    return untouched(tracer, subject(given), [dims] if isinstance(dims, int) else dims, "mixed")


def resized(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Images of another size, channel by channel."""
    x, y = subject(given), first(out)
    channel = 1 if x.dim() > 3 else x.dim() - 2
    return untouched(tracer, x, range(min(channel + 1, y.dim()), x.dim()), "resized")


def batch_norm(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Each channel by itself, with that channel's scale, shift and statistics."""
    x = given["input"]
    if given.get("training", True):
        untouched(tracer, x, {0, *range(2, x.dim())}, "normalised together")
    wide = [1, x.shape[1], *[1] * (x.dim() - 2)]
    names = ("weight", "bias", "running_mean", "running_var")
    held = [given[name] for name in names if given.get(name) is not None]
    vectors = [(wide, tuple(f.reshape(wide) for f in tracer.of(tensor))) for tensor in held]
    return together(tracer, [(x.shape, tracer.of(x)), *vectors], x.dim())


def layer_norm(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """All channels together, with a scale and shift each."""
    x, count = given["input"], len(given["normalized_shape"])
    held = [given[name] for name in ("weight", "bias") if given.get(name) is not None]
    if given.get("weight") is None or count > 1:
        return untouched(tracer, x, range(x.dim() - count, x.dim()), "normalised together")
    found = together(tracer, [(t.shape, tracer.of(t)) for t in (x, *held)], x.dim())
    for factor in found:
        if x.dim() - 1 in spread(factor):
            tracer.norm(factor, held[0])
    return found


def group_norm(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Whole groups leave, where there are several."""
    groups: int = given["group"]
    found = batch_norm(tracer, given, out)
    for factor in found:
        if spread(factor) != (1,):
            continue
        if groups > 1:
            unit = tracer.sized("num_groups", groups)[:, None]
            tracer.labels.unite(factor.reshape(groups, -1), unit)
        else:
            tracer.norm(factor, given["weight"])
    return found
