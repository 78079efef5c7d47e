"""Weights as they act: with the adapters on them, and with what batch norms multiply them by."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from prunus.site import Site


def effective_weights(model: nn.Module) -> dict[str, Tensor]:
    """{name: parameter}, detached; the weight of a module with an adapter is their sum."""
    return {name: effective(model, name, own) for name, own in model.named_parameters()}


def effective(model: nn.Module, name: str, parameter: Tensor) -> Tensor:
    """A parameter, detached, with what the adapter of its module adds."""
    path, _, leaf = name.rpartition(".")
    module: Any = model.get_submodule(path)
    adds = leaf == getattr(module, "holds", "weight") and hasattr(module, "effective_weight")
    return (module.effective_weight() if adds else parameter).detach()


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """While the block runs, modules with adapters are plain ones with the effective weights."""
    adapted = [m for m in model.modules() if hasattr(m, "effective_weight")]
    before = [(m, type(m), m._parameters["weight"]) for m in adapted]
    try:
        for module in adapted:
            weight = module.effective_weight()  # pyright: ignore[reportCallIssue]
            module.__class__ = _plain(type(module))
            module._parameters["weight"] = weight.detach()
        yield
    finally:
        for module, kind, weight in before:
            module.__class__ = kind
            module._parameters["weight"] = weight


def _plain(kind: type[nn.Module]) -> type[nn.Module]:
    """The class that an adapter was put upon."""
    bases = (base for base in kind.__mro__ if issubclass(base, nn.Module))
    return next(base for base in bases if not hasattr(base, "effective_weight"))


def folded(model: nn.Module, site: Site) -> dict[str, Tensor]:
    """{module that puts units out: [outputs] gamma / sigma of the batch norm on its output}."""
    return {producer: _slope(model.get_submodule(norm)) for producer, norm in site.folds}


def _slope(norm: nn.Module) -> Tensor:
    """[channels]: gamma / sqrt(variance + eps) of a batch norm in evaluation."""
    assert isinstance(norm, nn.modules.batchnorm._NormBase)
    assert isinstance(norm.running_var, Tensor)
    slope = torch.rsqrt(norm.running_var.detach() + norm.eps)
    return slope if norm.weight is None else slope * norm.weight.detach()
