"""A pass whose way back carries relevance: torch functions are seen, their gradients swapped."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from prunus.errors import PrunusError
from prunus.probe._rules import Linear, epsilon, split, stable

Back = Callable[[Tensor], "Tensor | tuple[Tensor | None, ...] | None"]
Kind = Literal["first", "conv", "linear"]
LayerRule = Callable[[Kind, Linear, Tensor, Tensor, Tensor], Tensor | None]
"""(kind, layer, input, weight, relevance of the output) -> relevance of the input, if wanted."""

CONVOLUTIONS = {f"conv{more}{d}d" for d in (1, 2, 3) for more in ("", "_transpose")}
WEIGHTED = {"linear", *CONVOLUTIONS}
NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm"}
ACTIVATIONS = {
    "relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "tanh",
    "hardtanh", "hardswish", "neg", "dropout", "dropout1d", "dropout2d", "dropout3d",
}  # fmt: skip
GATES = {"sigmoid", "hardsigmoid"}
MEANS = {
    "mean", "sum", *(f"{kind}avg_pool{d}d" for d in (1, 2, 3) for kind in ("", "adaptive_")),
}  # fmt: skip
SUMS = {"add", "radd", "iadd", "sub", "rsub", "isub"}
PRODUCTS = {"mul", "rmul", "imul", "div", "truediv", "itruediv"}
ROUTES = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim", "squeeze",
    "unsqueeze", "contiguous", "clone", "to", "float", "cat", "concat", "stack", "chunk", "split",
    "unbind", "narrow", "select", "getitem", "roll", "pad", "expand", "expand_as",
    "channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "requires_grad",
    *(f"{kind}max_pool{d}d" for d in (1, 2, 3) for kind in ("", "adaptive_")),
}  # fmt: skip
"""Functions whose own gradient carries relevance to where values came from."""
FOLLOWED = ACTIVATIONS | GATES | SUMS | PRODUCTS | ROUTES
"""Functions that may work in place."""


class Relevant(TorchFunctionMode):
    """While it is open, what is computed of a leaf that requires a gradient passes relevance back.

    Activations and norms hand it on as it is, sums split it in proportion (epsilon), as averages
    do, the greatest value of a pool has all of it, and gates have none. A batch norm turns the
    signs of the convolution before it: it is folded in, as shares do not depend on scales.
    """

    def __init__(self, leaf: Tensor, rule: LayerRule, stabiliser: float) -> None:
        """Follow what is computed of ``leaf``; ``rule`` is that of layers with weights."""
        super().__init__()
        self.rule, self.stabiliser = rule, stabiliser
        self.raw, self.signs, self.now = (WeakTensorKeyDictionary() for _ in range(3))
        self.raw[leaf] = True

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """The function's value, with relevance for its gradient."""
        args, kwargs = tree_map_only(Tensor, self.current, (args, kwargs or {}))
        name = getattr(func, "__name__", str(func))
        name, in_place = name.strip("_"), _in_place(name, args, kwargs)
        if not args and "input" in kwargs:
            args = (kwargs.pop("input"),)
        seen = list(_tracked((args, kwargs)))
        if not seen or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if name == "setitem" or (in_place and name not in FOLLOWED):
            raise _lost(name)
        out = self._follow(name, func, args, kwargs)
        if name not in WEIGHTED and all(x in self.raw for x in seen):
            for x in _tracked(out):
                self.raw[x] = True
        if in_place and name not in ROUTES:  # who holds the operand sees what became of it
            self.now[seen[0]] = out
        if name == "clone" and args[0] in self.signs:
            self.signs[out] = self.signs[args[0]]
        return out

    def current(self, x: Tensor) -> Tensor:
        """What has become of a tensor by functions that worked in place."""
        while x in self.now:
            x = self.now[x]
        return x

    def _follow(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if name in WEIGHTED:
            return self._layer(name, func, args, kwargs)
        if name in MEANS:
            return self._mean(func, args, kwargs)
        if name in SUMS:
            return self._sum(name, func, args, kwargs)
        if name in NORMS | ACTIVATIONS or (name in PRODUCTS and _scaled(name, args)):
            return self._as_it_is(name, func, args, kwargs)
        if name in GATES:
            return func(args[0].detach().clone(), *args[1:], **kwargs)
        out = func(*args, **kwargs)
        if name not in ROUTES and any(True for _ in _tracked(out)):
            raise _lost(name)
        return out

    def _layer(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        source, weight = named.pop("input"), named.pop("weight").detach()
        bias, rest, sign = named.pop("bias", None), args[3:], list[Tensor]()
        x, kind = source.detach(), "conv" if name in CONVOLUTIONS else "linear"
        kind = "first" if source in self.raw else kind

        def f(x: Tensor, w: Tensor) -> Tensor:
            return func(x, w, None, *rest, **named)

        def back(relevance: Tensor) -> Tensor | None:
            w = _turned(weight, sign[0], "transpose" in name) if sign else weight
            return self.rule(kind, f, x.to(w), w, relevance.to(w))

        out = _swapped(func(x, weight, bias, *rest, **named), back, source)
        self.signs[out] = sign
        return out

    def _mean(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        x = args[0].detach()

        def f(x: Tensor, _: Tensor) -> Tensor:
            return func(x, *args[1:], **kwargs)

        def back(relevance: Tensor) -> Tensor:
            return split(f, epsilon(x, x), relevance, self.stabiliser)

        return _swapped(f(x, x), back, args[0])

    def _sum(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        """Two activations split relevance in proportion; a constant, as a bias, has none."""
        if _one((args, kwargs)):
            return self._as_it_is(name, func, args, kwargs)
        sources = (*args, *_tracked(kwargs))
        one, other = (x.detach() for x in sources)
        other = other * ((-1 if "sub" in name else 1) * kwargs.get("alpha", 1))
        total = one + other

        def back(relevance: Tensor) -> tuple[Tensor, Tensor]:
            share = relevance / stable(total, self.stabiliser)
            return (one * share).sum_to_size(one.shape), (other * share).sum_to_size(other.shape)

        return _swapped(total, back, *sources)

    def _as_it_is(self, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        """What has one input, elementwise: relevance stays where it is."""
        every = [*args, *kwargs.values()]
        place = next(i for i, x in enumerate(every) if isinstance(x, Tensor) and x.requires_grad)
        x = every[place]
        if name == "batch_norm":
            self._fold(x, args, kwargs)
        fresh = x.detach().clone()  # the function may work in place
        new = [fresh if i == place else value for i, value in enumerate(every)]
        out = func(*new[: len(args)], **dict(zip(kwargs, new[len(args) :], strict=True)))
        return _swapped(out, lambda relevance: relevance.sum_to_size(x.shape), x)

    def _fold(self, x: Tensor, args: Any, kwargs: Any) -> None:
        """Remember the signs of a batch norm's scales for the layer whose output it reads."""
        scale = args[3] if len(args) > 3 else kwargs.get("weight")
        if x in self.signs and scale is not None:
            self.signs[x].append(scale.detach().sign())


class _Swap(torch.autograd.Function):
    """A value whose way back is told."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, back: Back, *inputs: Tensor) -> Tensor:
        ctx.back = back
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        found = ctx.back(relevance[0])
        return (None, None, *(found if isinstance(found, tuple) else (found,)))


def _swapped(value: Tensor, back: Back, *inputs: Tensor) -> Tensor:
    out = _Swap.apply(value.detach(), back, *inputs)
    assert isinstance(out, Tensor)
    return out


def _tracked(values: Any) -> Iterator[Tensor]:
    """The tensors among values whose relevance is followed."""
    return (x for x in tree_leaves(values) if isinstance(x, Tensor) and x.requires_grad)


def _in_place(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a function changes its first operand."""
    if name.startswith("__") or not name.endswith("_"):
        flags = (*args[1:], *kwargs.values()) if name in ACTIVATIONS | GATES else ()
        return name.startswith("__i") or any(flag is True for flag in flags)
    return True


def _lost(name: str) -> PrunusError:
    return PrunusError(
        f"lrp cannot follow {name!r}: relevance goes through convolutions, linear layers, norms,"
        " activations, sums, gates, pooling and what moves values about; use another criterion,"
        " such as taylor"
    )


def _one(values: Any) -> bool:
    """Whether a single one of the operands is followed: the others are constants."""
    return len(list(_tracked(values))) == 1


def _scaled(name: str, args: Any) -> bool:
    """Whether a product is one of an activation and a constant, which a gate counts as."""
    return _one(args) and ("div" not in name or args[0].requires_grad)


def _turned(weight: Tensor, sign: Tensor, transposed: bool) -> Tensor:
    """A layer's weight times the sign of each of its outputs."""
    if not transposed:
        return weight * sign.reshape(-1, *[1] * (weight.dim() - 1))
    groups = len(sign) // weight.shape[1]
    own = sign.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))
    return (weight.unflatten(0, (groups, -1)) * own).flatten(0, 1)
