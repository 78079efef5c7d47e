"""How labels pass through products of matrices."""

from typing import Any

import numpy as np
from torch import Tensor

from prunus.anatomy._trace.labels import Factors, aligned, reshaped, spread
from prunus.anatomy._trace.operands import Arguments, Operand, together, untouched
from prunus.anatomy._trace.tracer import Tracer


def contracted(tracer: Tracer, one: Operand, other: Operand) -> Factors:
    """[*batch, rows, inner] by [*batch, inner, columns]: labels of the inner dimension are one."""
    (left, ones), (right, others) = one, other
    dims = len(left)
    batch = tuple(range(dims - 2))
    inner = [_inner(tracer, ones, dims - 1, batch), _inner(tracer, others, dims - 2, batch)]
    inner[1] = tuple(np.swapaxes(factor, -1, -2) for factor in inner[1])
    shape = (*left[:-2], 1, left[-1])
    joint = together(tracer, [(shape, inner[0]), (shape, inner[1])], dims)
    for factor in joint:
        if not set(spread(factor)) & set(batch):
            tracer.end_at_layer(factor)
    heads = tuple(tracer.labels.only(f, batch) for f in joint if set(spread(f)) & set(batch))
    rows = (*heads, *(f for f in ones if dims - 1 not in spread(f)))
    columns = (*heads, *(f for f in others if dims - 2 not in spread(f)))
    above = ((*left[:-1], 1), rows)
    beside = ((*right[:-2], 1, right[-1]), columns)
    return together(tracer, [above, beside], dims)


def _inner(tracer: Tracer, factors: Factors, dim: int, batch: tuple[int, ...]) -> Factors:
    """The factors of an inner dimension, independent of rows or columns."""
    return tuple(tracer.labels.only(f, (*batch, dim)) for f in factors if dim in spread(f))


def mm(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """A product of two matrices, with a bias or none."""
    one, other = given.get("mat1", given.get("self")), given["mat2"]
    return _biased(tracer, given, out, one, other)


def bmm(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Products of two batches of matrices."""
    one, other = (
        given[k] for k in (("batch1", "batch2") if "batch1" in given else ("self", "mat2"))
    )
    return _biased(tracer, given, out, one, other)


def _biased(tracer: Tracer, given: Arguments, out: Tensor, one: Any, other: Any) -> Factors:
    found = contracted(tracer, (one.shape, tracer.of(one)), (other.shape, tracer.of(other)))
    bias = given.get("self")
    if bias is None or bias is one:
        return found
    return together(tracer, [(out.shape, found), (bias.shape, tracer.of(bias))], out.dim())


def linear(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """A linear layer in one operation."""
    x, weight = given["input"], given["weight"]
    flat = (x.shape[:-1].numel(), x.shape[-1])
    rows = tuple(reshaped(f, x.shape, flat) for f in tracer.of(x))
    turned = tuple(f.T for f in tracer.of(weight))
    found = contracted(tracer, (flat, rows), (tuple(weight.shape)[::-1], turned))
    found = tuple(reshaped(f, (flat[0], out.shape[-1]), out.shape) for f in found)
    bias = given.get("bias")
    if bias is None:
        return found
    return together(tracer, [(out.shape, found), (bias.shape, tracer.of(bias))], out.dim())


def attention(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Heads leave as wholes, the dimension that queries and keys are compared on never."""
    query, key, value = (given[name] for name in ("query", "key", "value"))
    turned = tuple(np.swapaxes(factor, -1, -2) for factor in tracer.of(key))
    shape = (*key.shape[:-2], key.shape[-1], key.shape[-2])
    scores = contracted(tracer, (query.shape, tracer.of(query)), (shape, turned))
    over = (*query.shape[:-1], key.shape[-2])
    return contracted(tracer, (over, scores), (value.shape, tracer.of(value)))


def embedding(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Rows of a table, picked by number."""
    weight = given["weight"]
    columns = untouched(tracer, weight, [0], "looked up by number")
    return tuple(aligned(factor[0], out.dim()) for factor in columns)
