"""Weights that are held at zero while an optimizer trains the others."""

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prunus.sharded import held, on_part, sharded
from prunus.site import Site, factor


class Held:
    """Multiplies removed weights, their gradients and what an optimizer remembers of them by 0.

    A gradient is multiplied as soon as it is complete, so that clipping sees the norm of those that
    count.
    """

    def __init__(self, model: nn.Module, sites: Mapping[str, Site], gradients: bool = True) -> None:
        """Nothing is removed yet.

        Args:
            model: whose parameters on the sites' slices are held.
            sites: where units may go.
            gradients: hold gradients as well, without which removed weights may come back.
        """
        self.sites, parameters = sites, dict(model.named_parameters())
        self._places = defaultdict(list)
        for name, site in sites.items():
            for part in site.slices:
                if part.tensor in parameters:
                    self._places[part.tensor].append((name, part))
        self.parameters = {name: parameters[name] for name in self._places}
        self._factors: dict[nn.Parameter, list[tuple[list[int], Tensor]]] = {}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._hold_gradient)
            for parameter in self.parameters.values()
            if gradients and parameter.requires_grad
        ]

    def set(
        self, masks: Mapping[str, Tensor], fine: Mapping[str, Tensor] = MappingProxyType({})
    ) -> None:
        """Hold what masks remove.

        Args:
            masks: {site: [*grid]} True = stays.
            fine: {site: the shape of its one weight} weights that stay, where more go.
        """
        self._factors = {
            parameter: [
                _lying(
                    parameter,
                    *factor(part, masks[site].to(held(parameter)), tuple(parameter.shape)),
                )
                for site, part in self._places[name]
                if site in masks and not masks[site].all()
            ]
            for name, parameter in self.parameters.items()
        }
        for site, stays in fine.items():
            parameter = self.parameters[self.sites[site].slices[0].tensor]
            own = _lying(parameter, list(parameter.shape), stays.to(held(parameter)))
            self._factors[parameter].append(own)

    def zero(self) -> None:
        """Removed weights are zero."""
        with torch.no_grad():
            for parameter in self._factors:
                self._hold(parameter, parameter)

    def hold_gradients(self) -> None:
        """Gradients of removed weights are zero, where they were not held all along."""
        for parameter in self._factors:
            self._hold_gradient(parameter)

    def forget(self, optimizer: Optimizer) -> None:
        """What the optimizer remembers of removed weights, entry by entry, is zero."""
        for parameter in self._factors:
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    self._hold(parameter, value)

    def let_go(self) -> None:
        """Gradients are whole again."""
        for hook in self._hooks:
            hook.remove()

    def _hold_gradient(self, parameter: Tensor) -> None:
        if isinstance(parameter, nn.Parameter) and parameter.grad is not None:
            self._hold(parameter, parameter.grad)

    def _hold(self, parameter: nn.Parameter, tensor: Tensor) -> None:
        for view, values in self._factors.get(parameter, ()):
            _viewed(held(tensor), view).mul_(values)


def _lying(parameter: Tensor, view: list[int], values: Tensor) -> tuple[list[int], Tensor]:
    """A view of what this process holds of a parameter, and what it is multiplied by."""
    if not sharded(parameter):
        return view, values
    mine = on_part(values.expand(view).reshape(parameter.shape), parameter)
    return list(mine.shape), mine


def _viewed(tensor: Tensor, view: list[int]) -> Tensor:
    """A view whose changes are the tensor's."""
    return tensor if list(tensor.shape) == view else tensor.view(view)
