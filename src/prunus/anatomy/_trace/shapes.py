"""How labels pass through operations that arrange entries anew."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from prunus.anatomy._trace.labels import Factor, Factors, aligned, meet, reshaped, spread
from prunus.anatomy._trace.operands import Arguments, subject, together, untouched
from prunus.anatomy._trace.tracer import Tracer


def view(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """The same entries in other dimensions; those that are split apart leave in whole rows."""
    x = subject(given)
    found = tuple(reshaped(factor, x.shape, out.shape) for factor in tracer.of(x))
    for factor in found:
        tracer.labels.keep_rectangular(factor)
        if any(meet(factor, other) for other in found if other is not factor):
            tracer.fix(factor, "flattened together with other channels")
    return tuple(factor for factor in found if spread(factor))


def strided(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """The same entries, or no one knows which."""
    x = subject(given)
    same = tuple(given["size"]) == tuple(x.shape) or x is out
    return tracer.of(x) if same else untouched(tracer, x, range(x.dim()), "strided by number")


def permute(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Dimensions in another order."""
    return tuple(np.transpose(f, given["dims"]) for f in tracer.of(subject(given)))


def transpose(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Two dimensions in the place of each other."""
    x = subject(given)
    dims = (0, x.dim() - 1) if "dim0" not in given else (given["dim0"], given["dim1"])
    return tuple(np.swapaxes(factor, *dims) for factor in tracer.of(x))


def select(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """One entry of a dimension: the others hang on it, since code tells it by number."""
    x, dim = subject(given), given["dim"] % subject(given).dim()
    found = (tracer.labels.only(f, set(range(x.dim())) - {dim}) for f in _unpicked(tracer, x, dim))
    return tuple(np.squeeze(factor, dim) for factor in found)


def _unpicked(tracer: Tracer, x: Tensor, dim: int) -> Iterable[Factor]:
    for factor in tracer.of(x):
        if spread(factor) == (dim,):
            tracer.fix(factor, "picked by number")
        else:
            yield factor


def unbind(tracer: Tracer, given: Arguments, out: Any) -> Factors:
    """Every entry of a dimension by itself: all parts are alike."""
    return select(tracer, {**given, "index": 0}, out)


def slice(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """A stretch of a dimension: what code tells by number always stays."""
    x, dim = subject(given), given["dim"] % subject(given).dim()
    if out.shape[dim] == x.shape[dim]:
        return tracer.of(x)
    return untouched(tracer, x, [dim], "sliced by number")


def split(tracer: Tracer, given: Arguments, out: Sequence[Tensor]) -> Factors:
    """Equal parts shrink alike, so that they are still found where code looks for them."""
    x, dim = subject(given), given["dim"] % subject(given).dim()
    sizes = {part.shape[dim] for part in out}
    if len(sizes) > 1:
        return untouched(tracer, x, [dim], "split into unequal parts")
    found = []
    for factor in tracer.of(x):
        if dim in spread(factor) and len(out) > 1:
            parts = np.split(factor, len(out), dim)
            for part in parts[1:]:
                tracer.labels.unite(parts[0], part)
            factor = parts[0]
        found.append(factor)
    return tuple(factor for factor in found if spread(factor))


def cat(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Entries of one dimension behind each other; those of the others meet."""
    tensors = [tensor for tensor in given["tensors"] if tensor.numel()]
    dim = given.get("dim", 0) % out.dim()
    rest = [d for d in range(out.dim()) if d != dim]
    shapes = [tuple(1 if d == dim else s for d, s in enumerate(t.shape)) for t in tensors]
    others = [
        (shape, tuple(f for f in tracer.of(t) if dim not in spread(f)))
        for shape, t in zip(shapes, tensors, strict=True)
    ]
    along = [_along(tracer, tensor, dim) for tensor in tensors]
    found = together(tracer, others, out.dim()) if rest else ()
    return (*found, np.concatenate(along, dim)) if any(a.any() for a in along) else found


def _along(tracer: Tracer, x: Tensor, dim: int) -> Factor:
    """The labels along one dimension, 0 where there are none."""
    found = [tracer.labels.only(f, [dim]) for f in tracer.of(x) if dim in spread(f)]
    if found:
        return found[0]
    return np.zeros([x.shape[dim] if d == dim else 1 for d in range(x.dim())], np.int64)


def stack(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Tensors side by side lose the same entries."""
    operands = [(tensor.shape, tracer.of(tensor)) for tensor in given["tensors"]]
    found = together(tracer, operands, out.dim() - 1)
    return tuple(np.expand_dims(factor, given["dim"]) for factor in found)


def pad(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Entries of zeros around: they always stay, unless a module counts them."""
    x, pad = subject(given), given["pad"]
    found = tracer.of(x)
    for place in range(len(pad) // 2):
        dim, (before, after) = x.dim() - 1 - place, pad[2 * place : 2 * place + 2]
        if (before or after) and min(before, after) < 0:
            found = tuple(f for f in found if dim not in spread(f) or _cropped(tracer, f))
        elif before or after:
            found = tuple(
                _padded(tracer, factor, dim, (before, after), 2 * place)
                if dim in spread(factor)
                else factor
                for factor in found
            )
    return found


def _cropped(tracer: Tracer, factor: Factor) -> bool:
    tracer.fix(factor, "cropped by number")
    return False


def _padded(tracer: Tracer, factor: Factor, dim: int, by: tuple[int, int], place: int) -> Factor:
    """Channels of zeros, which can leave where a module's attribute says how many there are."""
    wide = [-1 if d == dim else 1 for d in range(factor.ndim)]
    edges = [tracer.sized(f"padding[{place + k}]", n).reshape(wide) for k, n in enumerate(by)]
    return np.concatenate([edges[0], factor, edges[1]], dim)


def unsqueeze(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """One dimension more."""
    return tuple(np.expand_dims(f, given["dim"]) for f in tracer.of(subject(given)))


def squeeze(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Fewer dimensions of a single entry."""
    x = subject(given)
    return tuple(reshaped(factor, x.shape, out.shape) for factor in tracer.of(x))


def expand(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Dimensions repeated, and new ones in front."""
    return tuple(aligned(factor, out.dim()) for factor in tracer.of(subject(given)))


def index(tracer: Tracer, given: Arguments, out: Tensor) -> Factors:
    """Rows picked by number; what lies behind them is picked whole."""
    x, indices = subject(given), given["indices"]
    picked = [dim for dim, one in enumerate(indices) if one is not None]
    behind = picked == list(range(len(picked)))
    found = untouched(tracer, x, picked if behind else range(x.dim()), "picked by number")
    more = out.dim() - x.dim() + len(picked)
    return tuple(f.reshape((1,) * more + f.shape[len(picked) :]) for f in found)
