"""What criteria see of one site: sums over the data of activations and mask gradients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prunus import ranks
from prunus.errors import PrunusError
from prunus.gram import Moments
from prunus.probe._curvature import Curvature
from prunus.site import Site, Slice


@dataclass
class Evidence:
    """What one site showed.

    Attributes:
        site: the site.
        weights: the parameters on its slices, by name; those with an adapter as they act.
        seen: sums over the data in float64, by the names in :data:`GRADIENTS` and
            :data:`ACTIVATIONS`, :data:`OUTPUTS`, and :data:`ABLATION`.
        samples: how many samples were seen.
        tokens: how many real tokens were seen at this site.
        curvature: of the reader, where it was asked for; sites of one reader share it.
        folds: {module: [outputs]}: what the batch norm after it multiplies its outputs by.
    """

    site: Site
    weights: Mapping[str, Tensor]
    seen: dict[str, Tensor] = field(default_factory=dict)
    samples: int = 0
    tokens: int = 0
    curvature: Curvature | None = None
    folds: Mapping[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, value: Tensor) -> None:
        """Add to a sum."""
        value = value.detach().double()
        self.seen[name] = self.seen[name] + value if name in self.seen else value

    def sums(self) -> dict[str, Tensor]:
        """What adds up over parts of the data, by name."""
        return {
            "samples": torch.tensor(self.samples),
            "tokens": torch.tensor(self.tokens),
        } | self.seen

    def let_go(self) -> None:
        """Free the largest statistics, which nothing needs once a site is scored."""
        if self.curvature is not None:
            self.curvature.inputs = Moments.zeros(0, 0, self.curvature.outer.device)

    @property
    def size(self) -> int:
        """How many weights a unit has."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.weights.items()}
        return sum(p.per_unit(shapes[p.tensor]) for p in self.site.weights if p.tensor in shapes)

    @property
    def inlet(self) -> Tensor:
        """[inputs, outputs]: the reader's weight, its rows on the site's units."""
        part = self.site.inlet
        return self.weights[part.tensor].movedim(part.axis, 0).flatten(1)

    def filters(self, folded: bool = False) -> list[tuple[Slice, Tensor]]:
        """(slice, weight) of every outlet, with the batch norms that follow folded in if asked.

        Raises:
            PrunusError: the site has no outlets, or what its batch norms do was not looked up.
        """
        require_outlets(self.site)
        found = [(path, p, self.weights[p.tensor]) for path, p in self.site.outlets.items()]
        folds = dict(self.site.folds) if folded else {}
        if folds.keys() - self.folds.keys():
            raise PrunusError(f"site {self.site.name!r}: folded is not for scores in training")
        return [(p, self._folded(path, p, w) if path in folds else w) for path, p, w in found]

    def _folded(self, path: str, part: Slice, weight: Tensor) -> Tensor:
        view = [1] * weight.dim()
        view[part.axis] = -1
        return weight * self.folds[path].reshape(view)

    def per_unit(self, dims: Tensor) -> Tensor:
        """[inputs] as [units, inputs of one unit]."""
        return dims.reshape(self.site.units, -1)


def total(found: Mapping[str, Evidence]) -> None:
    """Let every rank know what all of them have seen, each in its share of the data.

    Everything that is streamed is a sum over samples, tokens or batches, so that it adds up.
    """
    if ranks.world() == 1:
        return
    for evidence in found.values():
        sums = ranks.total(evidence.sums())
        evidence.samples, evidence.tokens = int(sums.pop("samples")), int(sums.pop("tokens"))
        evidence.seen = sums
    for curvature in {id(own): own for e in found.values() if (own := e.curvature)}.values():
        curvature.total()


def require_outlets(site: Site) -> None:
    """Check that a site is what some modules put out.

    Raises:
        PrunusError: it is not.
    """
    if not site.outlets:
        raise PrunusError(
            f"site {site.name!r} of kind {site.kind!r} is not the output of linear layers or"
            " convolutions, which this criterion looks at; use another one"
        )


def _fold(g: Tensor, site: Site) -> Tensor:
    """[sample, width] mask gradients as [sample, *grid]."""
    return g.reshape(g.shape[0], *site.shape, -1).sum(-1)


def _outer(g: Tensor) -> Tensor:
    g = g.double().flatten()
    return torch.outer(g, g)


GRADIENTS: dict[str, Callable[[Tensor, Site], Tensor]] = {
    "gradient": lambda g, site: _fold(g, site).sum(0),
    "gradient_abs": lambda g, site: _fold(g, site).abs().sum(0),
    "gradient_square": lambda g, site: _fold(g, site).square().sum(0),
    "batch_gradient_square": lambda g, _: g.mean(0).square(),
    "unit_batch_gradient_square": lambda g, site: _fold(g, site).mean(0).square(),
    "unit_batch_gradient_gram": lambda g, site: _outer(_fold(g, site).mean(0)),
}
"""Of the mask gradient g [sample, width of the reader's input]: sums over samples and batches."""

ABLATION = "ablation"
"""By how much the loss rises without a unit: summed over samples."""

CURVATURE = "curvature"
"""Weighted moments of a reader's input, and the gradient's moments at its output."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda x: x.square().sum(0),
    "sum": lambda x: x.sum(0),
}
"""Of the reader's input x [real token, width]: sums over tokens."""

BY_INPUT = {"batch_gradient_square", CURVATURE, *ACTIVATIONS}
"""Statistics with one value for every input of the reader, which a site must then have."""

BY_COLUMN = {"square"}
"""Those of them that the blocks of a linear layer's weight can be weighed by as well."""
