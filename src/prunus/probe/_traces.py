"""Statistics of weights and their gradients, which a training streams and one pass can sum."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prunus.sharded import whole
from prunus.site import Site, reduce

TRACES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "snip": lambda weight, gradient: (weight * gradient).abs_(),
    "gradient_size": lambda _, gradient: gradient.abs(),
    "saliency": lambda weight, gradient: weight * gradient,
}
"""Of a weight and its gradient, entry by entry; summed over a unit, and there made positive."""


@dataclass
class Trace:
    """One statistic of one site, which fades from step to step: S <- keep S + new x.

    Attributes:
        site: the site.
        name: the statistic, of :data:`TRACES`.
        keep: what stays of the steps before.
        new: the weight of a new step.
        fine: whether every weight has a value of its own, where the site has a single slice.
        value: [*grid], or the weight's shape where it is fine: sums over units.
    """

    site: Site
    name: str
    keep: float = 1.0
    new: float = 1.0
    fine: bool = False
    value: Tensor | None = field(default=None)

    def add(self, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor | None]) -> None:
        """Take a step in.

        Args:
            weights: by name, those on the site's slices at least.
            gradients: theirs; None where there is none, which counts as 0.
        """
        found = None
        for part in self.site.weights:
            gradient = gradients.get(part.tensor)
            if gradient is None:
                continue
            entries = whole(TRACES[self.name](weights[part.tensor].detach(), gradient))
            if not self.fine or len(self.site.slices) > 1:
                entries = reduce(part, entries, self.site.shape)
            found = entries if found is None else found + entries
        if found is None:
            return
        if self.name == "saliency":
            found = found.abs()
        if self.value is None:
            self.value = torch.zeros_like(found)
        fresh = found if self.new == 1 else found * self.new
        torch.add(fresh, self.value, alpha=self.keep, out=self.value)
