"""Where removable units live: a site is a grid of units, a slice is its place in one tensor."""

from dataclasses import dataclass, field, replace
from math import prod

from torch import Tensor

from prunus.site._slice import Slice, along, expand, factor, reduce

__all__ = ["Site", "Slice", "along", "expand", "factor", "reduce"]


@dataclass(frozen=True)
class Site:
    """A named grid of units that are removed together from every slice.

    Attributes:
        name: unique in the model, relative to its base: ``encoder.layer.3:heads``.
        kind: heads, queries, neurons, sublayers, layers, channels, vocab or grid.
        shape: the grid: ``(units,)`` can be physically removed, ``(rows, columns)`` only masked.
        slices: every place where the units live.
        reader: the module whose input carries the units ("" where there are several).
        attrs: module attributes (dotted paths) that shrink in proportion with the site.
        norms: norms whose axis the site crosses; masked, they count only the units that stay.
        entries: modules whose input carries the units before they cross any norm.
        even: length of runs of units that must keep equal counts (query heads of one KV group).
        residual: the module whose input is the stream that the reader's output is added to.
        aside: modules on the slices that read something else than the stream, or more.
        needed: units that must stay: tokens that the model knows by number.
        inlets: slices of the inputs that sum over the units, where several modules, or other than
            linear layers, read them.
        counts: (module attribute, how many units of its count one unit takes with it).
        outlets: {module that puts the units out: slice on its weight's axis of outputs}.
        folds: (a module that puts the units out, the batch norm that alone reads its output).
        among: ``(n, m)``: of m neighbours on the grid's second dimension n stay, or all of them.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    slices: tuple[Slice, ...]
    reader: str = ""
    attrs: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    even: int = 1
    residual: str = ""
    aside: tuple[str, ...] = ()
    needed: tuple[int, ...] = ()
    inlets: tuple[Slice, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    outlets: dict[str, Slice] = field(default_factory=dict, compare=False)
    folds: tuple[tuple[str, str], ...] = ()
    among: tuple[int, ...] = ()

    @property
    def units(self) -> int:
        """How many units the grid has."""
        return prod(self.shape)

    @property
    def run(self) -> int:
        """How many neighbouring units are counted together: all, where no runs must be even."""
        return self.even if self.even > 1 else self.units

    def of_run(self, stays: Tensor) -> int:
        """How many units of a run stay, in the runs that stay at all."""
        return int(stays.reshape(-1, self.run).sum(-1).max())

    @property
    def least(self) -> int:
        """How many units must stay: one channel of a norm, n of m, one of an even run, or none."""
        if self.among:
            n, m = self.among
            rows, inputs, *rest = self.shape
            return rows * prod(rest) * (inputs // m * n + min(n, inputs % m))
        if self.inlets:
            return min(2, self.units)  # a single channel is no axis of channels any more
        return self.units // self.run if self.norms or self.even > 1 else 0

    @property
    def removable(self) -> bool:
        """Whether units can be physically removed: true of one-dimensional grids."""
        return len(self.shape) == 1

    @property
    def in_weights(self) -> bool:
        """Whether no module's input carries the units, so that masks lie on the weights."""
        return not self.removable or not (self.norms or self.reader or self.inlets)

    @property
    def block(self) -> str:
        """The module in which the units are computed: the parent of the first slice's module."""
        return self.slices[0].tensor.rsplit(".", 2)[0]

    @property
    def producers(self) -> dict[str, int]:
        """{module: axis of its weight} of what makes a sublayer's units, and reads its stream."""
        others = {self.reader, *self.aside}
        found = [(part.tensor.removesuffix(".weight"), part) for part in self.weights]
        return {module: part.axis for module, part in found if module not in others}

    @property
    def weights(self) -> list[Slice]:
        """The slices of weights; biases and other vectors are left out."""
        return [part for part in self.slices if part.tensor.endswith(".weight")]

    @property
    def has_inlet(self) -> bool:
        """Whether one weight reads the units, at the input of one module."""
        weight = f"{self.reader}.weight"
        return self.removable and any(part.tensor == weight for part in self.slices)

    @property
    def inlet(self) -> Slice:
        """The slice in the reader's weight; where :attr:`has_inlet` or :attr:`in_linear`."""
        weight = f"{self.reader}.weight"
        return next(part for part in self.slices if part.tensor == weight)

    @property
    def in_linear(self) -> bool:
        """Whether units are blocks of a linear layer's weight."""
        return len(self.shape) == 2 and bool(self.reader)

    @property
    def input_axis(self) -> int:
        """The (first) axis of the reader's weight that its input lies on; see :attr:`inlet`."""
        axis = self.inlet.axes[-1]
        return axis if isinstance(axis, int) else axis[0]

    def fine(self) -> "Site":
        """The same site at the granularity of the reader's input: one unit a dimension."""
        inlet = replace(self.inlet, tile=(1,))
        return Site(self.name, self.kind, (self.units * self.inlet.tile[0],), (inlet,), self.reader)

    def coarse(self, name: str, kind: str) -> "Site":
        """The same site as a single unit: all of it stays, or none."""
        whole = [replace(part, tile=(part.tile[0] * self.units,)) for part in self.slices]
        return replace(self, name=name, kind=kind, shape=(1,), slices=tuple(whole), even=1)
