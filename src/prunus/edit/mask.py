"""The one mask: any float or boolean values on the sites' grids, differentiable, reversible."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.site import Site, expand


@contextmanager
def mask(
    model: nn.Module, sites: Mapping[str, Site], values: Mapping[str, Tensor]
) -> Iterator[None]:
    """Multiply units by values while the block runs; gradients flow into the values.

    Where the product is taken follows from the site: at the reader's input (heads, neurons,
    sublayers), in the weight itself (grids), at every norm that it crosses, whose statistics then
    weigh each channel by its value (channels), or between a layer's output and its input (layers:
    0 passes the layer by).

    Args:
        model: the model that the sites were read from.
        sites: an anatomy, or any mapping of sites by name.
        values: per site [*grid], or [sample, *grid] for one mask a sample (not for grids in
            weights); True or 1 leaves a unit alone, False or 0 removes it.

    Raises:
        PrunusError: values for a site that does not exist, or not on its grid.
    """
    with ExitStack() as undo:
        for name, value in values.items():
            site = _checked(sites, name, value)
            for handle in _hooks(model, site, value):
                undo.callback(handle.remove)
        yield


def _checked(sites: Mapping[str, Site], name: str, value: Tensor) -> Site:
    if name not in sites:
        raise PrunusError(
            f"no site is called {name!r}; sites are called like {next(iter(sites))!r}"
        )
    site = sites[name]
    if tuple(value.shape[-len(site.shape) :]) != site.shape:
        raise PrunusError(
            f"site {name!r} has grid {site.shape}; got values of {tuple(value.shape)}"
        )
    return site


def _hooks(model: nn.Module, site: Site, value: Tensor) -> Iterator[Any]:
    if site.norms:
        for norm in site.norms:
            yield model.get_submodule(norm).register_forward_hook(partial(_norm, value))
    elif not site.removable:
        yield from _weights(model, site, value)
    elif site.has_inlet:
        scale = partial(_scale_input, site, value)
        yield model.get_submodule(site.reader).register_forward_pre_hook(scale)
    else:
        pass_by = partial(_pass_by, value)
        yield model.get_submodule(site.reader).register_forward_hook(pass_by)


def _scale_input(site: Site, value: Tensor, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    x = args[0]
    tile = site.inlet.tile[0]
    wide = value.to(x).repeat_interleave(tile, dim=-1)
    return (x * per_token(wide, x), *args[1:])


def _pass_by(value: Tensor, _: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
    first, rest = (out[0], out[1:]) if isinstance(out, tuple) else (out, None)
    x = args[0]
    share = per_token(value.to(x), x)
    mixed = share * first + (1 - share) * x
    return mixed if rest is None else (mixed, *rest)


def per_token(value: Tensor, x: Tensor) -> Tensor:
    """Shape values [width] or [sample, width] to multiply x [row, ..., width].

    Where a model makes several rows of a sample (the choices of a question), all have its value.
    """
    if value.dim() == 1:
        return value
    value = value.repeat_interleave(x.shape[0] // value.shape[0], dim=0)
    return value.reshape(value.shape[0], *[1] * (x.dim() - 2), value.shape[-1])


def _norm(value: Tensor, norm: nn.Module, args: tuple[Any, ...], _: Tensor) -> Tensor:
    """The norm over the units that stay, each weighed by its value, times the value."""
    x = args[0]
    share = per_token(value.to(x), x)
    total = share.sum(-1, keepdim=True)
    if isinstance(norm, nn.LayerNorm):
        x = x - (share * x).sum(-1, keepdim=True) / total
        eps = norm.eps
    else:
        eps = norm.variance_epsilon
    variance = (share * x.square()).sum(-1, keepdim=True) / total
    out = x * torch.rsqrt(variance + eps) * norm.weight
    bias = getattr(norm, "bias", None)
    return share * (out if bias is None else out + bias)


def _weights(model: nn.Module, site: Site, value: Tensor) -> Iterator[Any]:
    for part in site.slices:
        path, _, name = part.tensor.rpartition(".")
        module = model.get_submodule(path)
        weight = module.get_parameter(name)
        product = partial(_product, part, value, weight)
        yield module.register_forward_pre_hook(partial(_swap, name, product))
        yield module.register_forward_hook(partial(_restore, name, weight), always_call=True)


def _product(part: Any, value: Tensor, weight: Tensor) -> Tensor:
    return weight * expand(part, value.to(weight), weight.shape)


def _swap(name: str, product: Callable[[], Tensor], module: nn.Module, _: Any) -> None:
    del module._parameters[name]
    setattr(module, name, product())


def _restore(name: str, weight: nn.Parameter, module: nn.Module, _: Any, __: Any) -> None:
    module.__dict__.pop(name, None)
    module._parameters[name] = weight
