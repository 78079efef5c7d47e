"""Weights as they act: with the adapters on them, and with what batch norms multiply them by."""

import torch
from torch import Tensor, nn

from prunus.site import Site


def effective_weights(model: nn.Module) -> dict[str, Tensor]:
    """{name: parameter}, detached; the weight of a module with an adapter is their sum."""
    found = {name: tensor.detach() for name, tensor in model.named_parameters()}
    for path, module in model.named_modules():
        effective = getattr(module, "effective_weight", None)
        if effective is not None:
            found[f"{path}.weight"] = effective().detach()
    return found


def folded(model: nn.Module, site: Site) -> dict[str, Tensor]:
    """{module that puts units out: [outputs] gamma / sigma of the batch norm on its output}."""
    return {producer: _slope(model.get_submodule(norm)) for producer, norm in site.folds}


def _slope(norm: nn.Module) -> Tensor:
    """[channels]: gamma / sqrt(variance + eps) of a batch norm in evaluation."""
    assert isinstance(norm, nn.modules.batchnorm._NormBase)
    assert isinstance(norm.running_var, Tensor)
    slope = torch.rsqrt(norm.running_var.detach() + norm.eps)
    return slope if norm.weight is None else slope * norm.weight.detach()
