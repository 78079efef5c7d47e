"""What a plan costs, exactly and fast: a polynomial in how many units each site keeps.

Along one axis of a tensor, the entries that stay are a sum over stretches of the axis, each the
product of the fractions kept by the sites that cover it; a tensor is the product of its axes; a
model the sum of its tensors. Multiplied out once, every question is integer arithmetic.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, pairwise, product
from math import prod
from typing import Protocol

from prunus.anatomy import Anatomy
from prunus.errors import PrunusError
from prunus.site import Site

Monomial = tuple[str, ...]
Polynomial = dict[Monomial, Fraction]


class Cost(Protocol):
    """Cost of a plan in one metric, a function of the units that each site keeps.

    Nothing costs less when more of a site stays. Sites that are not named keep all their units.
    """

    @property
    def metric(self) -> str:
        """What is counted."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Units of every site that counts."""
        ...

    def __call__(self, kept: Mapping[str, int]) -> int:
        """The cost when each site keeps ``kept[site]`` units."""
        ...

    def step(self, site: str, kept: Mapping[str, int], by: int = 1) -> Fraction:
        """What ``by`` more units of a site cost when the sites keep ``kept``; it may be 0."""
        ...

    def price(self, site: str) -> Fraction:
        """What one unit of a site costs in the dense model: what a score is divided by."""
        ...

    def alone(self, site: str) -> list[Fraction]:
        """[units + 1]: what a site adds to the cost when it keeps 0, 1, ... all of its units.

        The cost of a plan is then that of the model without any of the sites' units, plus these.

        Raises:
            PrunusError: what the site adds depends on how many units another site keeps.
        """
        ...


@dataclass(frozen=True)
class Counted:
    """A :class:`Cost` that is counted, and so exact.

    Attributes:
        metric: units, params or flops.
        terms: (sites of a product, cost when each of them keeps everything); each counts by the
            product of the fractions that its sites keep.
        sizes: units of every site that counts.
    """

    metric: str
    terms: tuple[tuple[Monomial, Fraction], ...]
    sizes: Mapping[str, int]

    def __call__(self, kept: Mapping[str, int]) -> int:
        """The cost when each site keeps ``kept[site]`` units; sites not named keep all."""
        return int(self._sum(self.terms, kept))

    def step(self, site: str, kept: Mapping[str, int], by: int = 1) -> Fraction:
        """What ``by`` more units of a site cost when the sites keep ``kept``."""
        more = {**kept, site: kept.get(site, self.sizes[site]) + by}
        terms = self._by_site.get(site, ())
        return self._sum(terms, more) - self._sum(terms, kept)

    def price(self, site: str) -> Fraction:
        """What the last unit of a site costs in the dense model."""
        return -self.step(site, {}, -1)

    def alone(self, site: str) -> list[Fraction]:
        """[units + 1]: what a site adds when it keeps 0, 1, ... units, see :meth:`Cost.alone`.

        Raises:
            PrunusError: what the site adds depends on how many units another site keeps.
        """
        terms = self._by_site.get(site, [])
        require_alone(site, chain.from_iterable(sites for sites, _ in terms), self.metric)
        powers: Polynomial = defaultdict(Fraction)
        for sites, full in terms:
            powers[sites] += full / self.sizes[site] ** len(sites)
        return [
            sum((full * units ** len(sites) for sites, full in powers.items()), start=Fraction(0))
            for units in range(self.sizes[site] + 1)
        ]

    def _sum(self, terms: Iterable[tuple[Monomial, Fraction]], kept: Mapping[str, int]) -> Fraction:
        products = (full * prod(self._fraction(s, kept) for s in sites) for sites, full in terms)
        return sum(products, start=Fraction(0))

    def _fraction(self, site: str, kept: Mapping[str, int]) -> Fraction:
        size = self.sizes[site]
        return Fraction(kept.get(site, size), size)

    @cached_property
    def _by_site(self) -> dict[str, list[tuple[Monomial, Fraction]]]:
        found = defaultdict(list)
        for sites, full in self.terms:
            for site in set(sites):
                found[site].append((sites, full))
        return found


def require_alone(site: str, counted: Iterable[str], metric: str) -> None:
    """Check that a site's cost speaks of no other site.

    Raises:
        PrunusError: it does.
    """
    others = sorted(set(counted) - {site})
    if others:
        raise PrunusError(
            f"site {site!r}: what it adds to the {metric} depends on how many units"
            f" {others[0]!r} keeps, so the two cannot be weighed one by one; prune one of the two"
            " kinds of sites, or select greedily"
        )


def units(sites: Mapping[str, Site]) -> Counted:
    """Every unit costs 1."""
    terms = tuple(((name,), Fraction(site.units)) for name, site in sites.items())
    return Counted("units", terms, {name: site.units for name, site in sites.items()})


def weights(anatomy: Anatomy) -> Counted:
    """Weights of linear layers and convolutions that are not zero, whether removed or masked.

    Raises:
        PrunusError: two sites share weights, which one of them alone can count.
    """
    shapes, owners = anatomy.tensors.shapes, dict[str, str]()
    rest = {name: prod(shapes[name]) for name in anatomy.tensors.weighted}
    terms: list[tuple[Monomial, Fraction]] = []
    for name, site in anatomy.items():
        total = 0
        for part in site.weights:
            if owners.setdefault(part.tensor, name) != name:
                raise PrunusError(
                    f"sites {owners[part.tensor]!r} and {name!r} share {part.tensor}, but metric:"
                    " weights counts a weight once: take one of them, or another metric"
                )
            if part.tensor in rest:
                size = site.units * part.per_unit(shapes[part.tensor])
                rest[part.tensor] -= size
                total += size
        terms.append(((name,), Fraction(total)))
    outside = sum(max(0, size) for size in rest.values())
    sizes = {name: site.units for name, site in anatomy.items()}
    return Counted("weights", (((), Fraction(outside)), *terms), sizes)


def params(anatomy: Anatomy) -> Cost:
    """Parameters of the shrunk model, tied ones once; zeros that grids leave are still there."""
    axes = _axes(anatomy)
    polynomials = [
        _times(prod(shape), [axes.get((name, axis), _ONE) for axis in range(len(shape))])
        for name, shape in anatomy.tensors.parameters()
    ]
    return _cost("params", polynomials, anatomy)


def flops(anatomy: Anatomy, work: Mapping[str, int]) -> Cost:
    """FLOPs of the shrunk model in the pass whose dense ``work`` was counted.

    A module with a weight works in proportion to what stays of its weight, one with a bias alone
    (an output layer that borrows the embeddings) in proportion to what stays of that; an
    attention's own products in proportion to the rows of its query projection. Zeros in grids save
    no work.

    Args:
        anatomy: the sites of the dense model.
        work: FLOPs of each module's own operations (:func:`prunus.probe.work.work`).
    """
    axes = _axes(anatomy)
    queries = {s.block: s.slices[0] for s in anatomy.values() if s.kind in ATTENTION}
    rows = {block: (part.tensor, part.axis) for block, part in queries.items()}
    polynomials = []
    for module, own in work.items():
        owner = anatomy.tensors.owner
        weight = owner(f"{module}.weight") or owner(f"{module}.bias")
        if weight is not None:
            places = [(weight, axis) for axis in range(len(anatomy.tensors.shapes[weight]))]
        else:
            places = [rows[module]] if module in rows else []
        polynomials.append(_times(own, [axes.get(place, _ONE) for place in places]))
    return _cost("flops", polynomials, anatomy)


ATTENTION = ("heads", "queries", "sublayers")
_ONE: Polynomial = {(): Fraction(1)}


def _axes(anatomy: Anatomy) -> dict[tuple[str, int], Polynomial]:
    """For every axis that sites touch: the fraction of it that stays, as a polynomial."""
    spans = defaultdict(list)
    for name, site in anatomy.items():
        for part in site.slices if site.removable else ():
            place = (part.tensor, part.axis)
            spans[place].append((part.start, part.start + part.tile[0] * site.units, name))
    return {
        place: _stretches(found, anatomy.tensors.shapes[place[0]][place[1]])
        for place, found in spans.items()
    }


def _stretches(spans: list[tuple[int, int, str]], length: int) -> Polynomial:
    cuts = sorted({0, length, *(cut for start, end, _ in spans for cut in (start, end))})
    found: Polynomial = defaultdict(Fraction)
    for start, end in pairwise(cuts):
        covering = tuple(sorted(name for low, high, name in spans if low <= start and end <= high))
        found[covering] += Fraction(end - start, length)
    return dict(found)


def _times(full: int, factors: Iterable[Polynomial]) -> Polynomial:
    found: Polynomial = defaultdict(Fraction)
    for picks in product(*(factor.items() for factor in factors)):
        sites = tuple(sorted(chain.from_iterable(monomial for monomial, _ in picks)))
        found[sites] += full * prod((share for _, share in picks), start=Fraction(1))
    return found


def _cost(metric: str, polynomials: Iterable[Polynomial], anatomy: Anatomy) -> Cost:
    total: Polynomial = defaultdict(Fraction)
    for polynomial in polynomials:
        for sites, full in polynomial.items():
            total[sites] += full
    return Counted(metric, tuple(total.items()), {n: s.units for n, s in anatomy.items()})
