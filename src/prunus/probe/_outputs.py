"""What the outlets of a site put out, and the gradient there: sums over positions and samples."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.probe._evidence import Evidence
from prunus.probe._tokens import real_tokens
from prunus.probe.loss import Batch, Loss, samples_of
from prunus.site import Site, Slice, reduce

FORWARD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "output_size": lambda out, share: (out.abs() * share).sum(1),
    "output_square": lambda out, share: (out.square() * share).sum(1),
}
"""Of an output [row, position, width] and the share of each real position: means over them."""

BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "output_gradient": lambda _, g, share: (g * share).sum(1),
    "output_product": lambda out, g, share: (out * g * share).sum(1),
    "output_product_abs": lambda out, g, share: (out * g * share).sum(1),
    "relevance": lambda _, g, __: g.abs().sum(1),
}
"""The same of an output, its gradient and the shares; of relevances the sum of their sizes."""

PER_SAMPLE = {"output_product_abs"}
"""Statistics whose size is taken of every sample, once all outlets of a site are added up."""

OUTPUTS = FORWARD.keys() | BACKWARD.keys()
"""Statistics of what a site's outlets put out."""


@dataclass
class _Tally:
    """Statistics of one batch, [sample, *grid] by site and name, while its outlets are passed."""

    batch: Batch
    found: Mapping[str, Evidence]
    forward: list[str]
    backward: list[str]
    sums: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def watch(
        self, path: str, sites: list[str], module: nn.Module, _: tuple[Any, ...], out: Tensor
    ) -> Tensor | None:
        """Take in what an outlet puts out, and wait for the gradient there."""
        for name in self.forward:
            self._add(path, sites, module, name, FORWARD[name], out.detach())
        if not self.backward:
            return None
        held = out if out.requires_grad else out.detach().requires_grad_()
        held.register_hook(partial(self._come_back, path, sites, module, held.detach()))
        return held.clone()  # what follows may work in place

    def _come_back(
        self, path: str, sites: list[str], module: nn.Module, out: Tensor, gradient: Tensor
    ) -> None:
        for name in self.backward:
            self._add(path, sites, module, name, BACKWARD[name], out, gradient)

    def _add(
        self, path: str, sites: list[str], module: nn.Module, name: str,
        of: Callable[..., Tensor], *seen: Tensor,
    ) -> None:  # fmt: skip
        """Add a statistic of one output to all sites whose units lie on it."""
        rows = [_rows(module, x) for x in seen]
        for key in sites:
            site = self.found[key].site
            value = of(*rows, self._share(path, site, module, seen[0]))
            each = self._each(site, site.outlets[path], value)
            self.sums[key, name] = self.sums.get((key, name), 0) + each

    def _share(self, path: str, site: Site, module: nn.Module, x: Tensor) -> Tensor:
        """[row, position, 1]: one over the real positions of a row, 0 at padding."""
        place = "" if path in site.aside else site.name
        real = None if _is_convolution(module) else real_tokens(self.batch, place, x)
        real = torch.ones(1, _rows(module, x).shape[1], 1) if real is None else real
        real = real.reshape(len(real), -1, 1).to(x)
        return real / real.sum(1, keepdim=True).clamp_min(1)

    def _each(self, site: Site, part: Slice, value: Tensor) -> Tensor:
        """[row, width] as [sample, units]; samples that share rows have equal parts in them."""
        samples = samples_of(self.batch)
        both = replace(part, axes=(1, 0), tile=(*part.tile, 1))
        each = reduce(both, value, (site.units, len(value))).T.double()
        if len(each) % samples:
            each = each.sum(0, keepdim=True).expand(samples, -1) / samples
        return each.reshape(samples, -1, site.units).sum(1)

    def close(self) -> None:
        """Add the batch to the evidence."""
        for key, evidence in self.found.items():
            for name in (*self.forward, *self.backward):
                if (key, name) not in self.sums:
                    raise PrunusError(
                        f"site {key!r}: the pass over the data does not reach"
                        f" {', '.join(evidence.site.outlets)}; leave it out of the sites"
                    )
                value = self.sums[key, name]
                value = value.abs() if name in PER_SAMPLE else value
                evidence.add(name, value.sum(0).reshape(evidence.site.shape))


def look_at_outputs(
    model: nn.Module,
    batch: Batch,
    found: Mapping[str, Evidence],
    reads: tuple[str, ...],
    loss: Loss | None,
) -> None:
    """Add a batch's statistics of :data:`OUTPUTS`; gradients are summed as they come back.

    Raises:
        PrunusError: a site whose outlets no forward or backward pass reaches.
    """
    forward, backward = ([n for n in reads if n in known] for known in (FORWARD, BACKWARD))
    if not forward and not backward:
        return
    tally = _Tally(batch, found, forward, backward)
    modules: dict[str, list[str]] = {}
    for key, evidence in found.items():
        for path in evidence.site.outlets:
            modules.setdefault(path, []).append(key)
    with ExitStack() as undo, torch.set_grad_enabled(bool(backward)):
        for path, sites in modules.items():
            hook = partial(tally.watch, path, sites)
            undo.callback(model.get_submodule(path).register_forward_hook(hook).remove)
        value = loss(model, batch) if backward and loss is not None else model(**batch)
    if isinstance(value, Tensor) and value.requires_grad:
        value.backward()
    tally.close()


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd)


def _rows(module: nn.Module, x: Tensor) -> Tensor:
    """[row, position, width] of a module's output."""
    if _is_convolution(module):
        return x.flatten(2).transpose(1, 2)
    return x.reshape(x.shape[0], -1, x.shape[-1])
