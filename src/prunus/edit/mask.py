"""The one mask: any float or boolean values on the sites' grids, differentiable, reversible."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from prunus.edit._renormed import by_row, renormed
from prunus.errors import PrunusError
from prunus.site import Site, Slice, along, factor

Value = Callable[[], Tensor]
"""What a site is multiplied by now."""


@contextmanager
def mask(
    model: nn.Module, sites: Mapping[str, Site], values: Mapping[str, Tensor]
) -> Iterator[None]:
    """Multiply units by values while the block runs; gradients flow into the values.

    Where the product is taken follows from the site: at the readers' inputs (heads, neurons,
    sublayers, channels of convolutions), in the weight itself and what its adapter adds (grids,
    vocabularies), at every norm that it crosses, whose statistics then weigh each channel by its
    value, and wherever it is read before any norm (channels), or between a layer's output and its
    input (layers: 0 passes the layer by). Values are looked up whenever they are needed, so that
    they may be others in every pass; those of channels when the block is entered.

    Args:
        model: the model that the sites were read from.
        sites: an anatomy, or any mapping of sites by name.
        values: per site [*grid], or [sample, *grid] for one mask a sample (not for grids in
            weights); True or 1 leaves a unit alone, False or 0 removes it.

    Raises:
        PrunusError: values for a site that does not exist, or not on its grid.
    """
    chosen = [_checked(sites, name, value) for name, value in values.items()]
    with ExitStack() as undo:
        for site in chosen:
            for take_back in _hooks(model, site, partial(values.__getitem__, site.name)):
                undo.callback(take_back)
        undo.enter_context(renormed(model, [(s, values[s.name]) for s in chosen if s.inlets]))
        yield


def _checked(sites: Mapping[str, Site], name: str, value: Tensor) -> Site:
    if name not in sites:
        raise PrunusError(
            f"no site is called {name!r}; sites are called like {next(iter(sites))!r}"
        )
    site = sites[name]
    extra = value.dim() - len(site.shape)
    if extra > (not site.in_weights) or tuple(value.shape[max(extra, 0) :]) != site.shape:
        raise PrunusError(
            f"site {name!r} has grid {site.shape}; got values of {tuple(value.shape)}"
        )
    return site


def _hooks(model: nn.Module, site: Site, value: Value) -> Iterator[Callable[[], None]]:
    """Sets the hooks of a site; yields what takes each of them back."""
    if site.inlets:
        yield from _inlets(model, site.inlets, value)
    elif site.norms:
        yield from _norms(model, site, value)
    elif site.in_weights:
        for part in site.slices:
            yield from _weight(model, part, value)
    elif site.has_inlet:
        yield from _inlets(model, [site.inlet], value)
    else:
        pass_by = partial(_pass_by, value)
        yield model.get_submodule(site.reader).register_forward_hook(pass_by).remove


def _inlets(
    model: nn.Module, inlets: Iterable[Slice], value: Value
) -> Iterator[Callable[[], None]]:
    for part in inlets:
        reader = model.get_submodule(part.tensor.removesuffix(".weight"))
        scale = partial(_scale_channels, part, value)
        yield reader.register_forward_pre_hook(scale).remove


def _norms(model: nn.Module, site: Site, value: Value) -> Iterator[Callable[[], None]]:
    for norm in site.norms:
        yield model.get_submodule(norm).register_forward_hook(partial(_norm, value)).remove
    for entry in site.entries:
        scale = partial(_scale_input, value)
        yield model.get_submodule(entry).register_forward_pre_hook(scale).remove


def _scale_input(value: Value, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    x = args[0]
    return (x * per_token(value().to(x), x), *args[1:])


def _scale_channels(
    part: Slice, value: Value, reader: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Scale what a layer reads of a site, whose units may be some of its channels."""
    x, weight = args[0], cast(Tensor, reader.weight)
    channel = x.dim() - weight.dim() + 1 if isinstance(reader, _ConvNd) else x.dim() - 1
    wide = by_row(along(part, value().to(x), weight.shape[part.axis]), x)
    between, after = channel - wide.dim() + 1, x.dim() - 1 - channel
    shape = (*wide.shape[:-1], *[1] * between, wide.shape[-1], *[1] * after)
    return (x * wide.reshape(shape), *args[1:])


def _pass_by(value: Value, _: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
    first, rest = (out[0], out[1:]) if isinstance(out, tuple) else (out, None)
    x = args[0]
    share = per_token(value().to(x), x)
    mixed = share * first + (1 - share) * x
    return mixed if rest is None else (mixed, *rest)


def per_token(value: Tensor, x: Tensor) -> Tensor:
    """Shape values [width] or [sample, width] to multiply x [row, ..., width].

    Where a model makes several rows of a sample (the choices of a question), all have its value.
    """
    if value.dim() == 1:
        return value
    value = by_row(value, x)
    return value.reshape(value.shape[0], *[1] * (x.dim() - 2), value.shape[-1])


def _norm(value: Value, norm: Any, args: tuple[Any, ...], out: Tensor) -> Tensor:
    """The norm over the units that stay, each weighed by its value, times the value."""
    x = args[0]
    share = per_token(value().to(x), x)
    total = share.sum(-1, keepdim=True)
    if isinstance(norm, nn.LayerNorm):
        x = x - (share * x).sum(-1, keepdim=True) / total
        variance = (share * x.square()).sum(-1, keepdim=True) / total
        return share * (x * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias)
    eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
    now = (share * x.square()).sum(-1, keepdim=True) / total
    whole = x.square().mean(-1, keepdim=True)
    return share * out * torch.sqrt((whole + eps) / (now + eps))


def _weight(model: nn.Module, part: Slice, value: Value) -> Iterator[Callable[[], None]]:
    path, _, leaf = part.tensor.rpartition(".")
    tensor = getattr(model.get_submodule(path), leaf)
    for module, held, name in list(_holders(model, tensor)):
        restore = partial(_restore, module, held, name, tensor)
        yield restore  # a pass that is interrupted does not reach its hooks
        scale = partial(_multiply, part, held, name, value)
        yield module.register_forward_pre_hook(scale).remove
        yield module.register_forward_hook(partial(_after, restore), always_call=True).remove


def _holders(model: nn.Module, tensor: Tensor) -> Iterator[tuple[nn.Module, dict[str, Any], str]]:
    """(module, where it keeps the tensor, under which name): several where it is tied."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            yield from ((module, held, name) for name, own in held.items() if own is tensor)


def _multiply(
    part: Slice, held: dict[str, Any], name: str, value: Value, module: Any, *_: Any
) -> None:
    weight = held[name]
    if name == getattr(module, "holds", "") and not module.fused:  # it has an adapter
        weight, module.fused = module.effective_weight(), True
    view, factors = factor(part, value().to(weight), tuple(weight.shape))
    held[name] = (weight.reshape(view) * factors).reshape(weight.shape)


def _restore(module: Any, held: dict[str, Any], name: str, tensor: Tensor) -> None:
    held[name] = tensor
    if hasattr(module, "fused"):
        module.fused = False


def _after(restore: Callable[[], None], *_: Any) -> None:
    restore()
