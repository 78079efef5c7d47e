"""What every rule needs: the operation's arguments, and labels of operands that meet."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from prunus.anatomy._trace.labels import Factor, Factors, aligned, meet, spread
from prunus.anatomy._trace.tracer import Tracer

Arguments = dict[str, Any]
Rule = Callable[[Tracer, Arguments, Any], Factors]
Operand = tuple[Sequence[int], Factors]


def subject(given: Arguments) -> Tensor:
    """The tensor that an operation is about."""
    return given["self"] if "self" in given else next(iter(given.values()))


def first(out: Any) -> Tensor:
    """The (first) tensor that an operation returned."""
    return out if isinstance(out, Tensor) else out[0]


def together(tracer: Tracer, operands: Iterable[Operand], dims: int) -> Factors:
    """Labels at the same place of broadcast operands become one.

    What one operand labels, and another holds without labels, is fixed.

    Args:
        tracer: keeps the labels.
        operands: (shape, factors).
        dims: of the result.
    """
    every = [
        ((1,) * (dims - len(shape)) + tuple(shape), [aligned(f, dims) for f in factors])
        for shape, factors in operands
    ]
    found: list[Factor] = []
    for factor in (factor for _, factors in every for factor in factors):
        twin = next((k for k, one in enumerate(found) if meet(one, factor)), None)
        if twin is None:
            found.append(factor)
            continue
        tracer.labels.unite(found[twin], factor)
        found[twin] = np.broadcast_arrays(found[twin], factor)[0]
    for factor in found:
        for shape, factors in every:
            covered = any(shape[dim] > 1 for dim in spread(factor))
            if covered and not any(meet(factor, own) for own in factors):
                tracer.fix(factor, "joined with values that no unit makes")
    return tuple(found)


def untouched(tracer: Tracer, x: Tensor, dims: Iterable[int], why: str) -> Factors:
    """The factors that do not depend on dimensions that an operation mixes; others are fixed."""
    mixed, found = {dim % max(1, x.dim()) for dim in dims}, []
    for factor in tracer.of(x):
        if mixed & set(spread(factor)):
            tracer.fix(factor, why)
        else:
            found.append(factor)
    return tuple(found)


def pointwise(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Entry by entry, of operands that are broadcast."""
    tensors = [value for value in given.values() if isinstance(value, Tensor)]
    operands = [(tensor.shape, tracer.of(tensor)) for tensor in tensors]
    return together(tracer, operands, first(out).dim())


def same(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """The entries of the first operand."""
    return tracer.of(subject(given))


def made(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """New entries, which nothing labels."""
    return ()
