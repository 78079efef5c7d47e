"""What a plan costs in time, by a table that was measured: a sum of curves, one a sublayer.

The model's time is taken as that of the model without any unit, plus for every sublayer a curve
over the units that it keeps. Curves may have steps and flat stretches, as kernels have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from prunus.errors import PrunusError
from prunus.select._cost import require_alone
from prunus.site import Site

COUNTED = ("heads", "neurons")
GATES = ("sublayers", "layers")


@dataclass(frozen=True)
class Term:
    """One part of the time.

    Attributes:
        curve: nanoseconds by how many units stay, never falling.
        site: the site whose units count; "" where they all stay.
        gates: sites of a single unit: where one of them goes, the part costs nothing.
    """

    curve: tuple[int, ...]
    site: str = ""
    gates: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site that the part depends on."""
        return (*((self.site,) if self.site else ()), *self.gates)

    def __call__(self, kept: Mapping[str, int]) -> int:
        """Nanoseconds when the sites keep ``kept`` units, those not named all."""
        if not all(kept.get(gate, 1) for gate in self.gates):
            return 0
        return self.curve[kept.get(self.site, len(self.curve) - 1)]


@dataclass(frozen=True)
class Latency:
    """A :class:`prunus.select._cost.Cost` in nanoseconds of one call.

    Attributes:
        constant: what no site can save.
        terms: the other parts.
        sizes: units of every site that counts.
        metric: "latency".
    """

    constant: int
    terms: tuple[Term, ...]
    sizes: Mapping[str, int]
    metric: str = "latency"

    @classmethod
    def of(
        cls,
        constant: int,
        layers: Mapping[str, int],
        curves: Mapping[str, tuple[int, ...]],
        every: Mapping[str, Site],
        chosen: Mapping[str, Site],
    ) -> "Latency":
        """The cost of plans for the ``chosen`` sites.

        Args:
            constant: nanoseconds outside of the layers.
            layers: nanoseconds of each layer (by its module's name) without units.
            curves: for every site of heads and neurons, [units + 1] nanoseconds beyond that.
            every: all sites of the model.
            chosen: those that plans decide.

        Raises:
            PrunusError: a chosen site is of a kind that no table knows.
        """
        for site in chosen.values():
            if site.kind not in COUNTED + GATES:
                raise PrunusError(
                    f"site {site.name!r}: latency is known for heads, neurons, sublayers and"
                    f" layers, not for {site.kind}; leave them out, or use metric: flops"
                )
        gates = [site for site in chosen.values() if site.kind in GATES]
        bare = [Term((time,), "", _gates(layer, gates)) for layer, time in layers.items()]
        own = [
            Term(curve, name if name in chosen else "", _gates(every[name].reader, gates))
            for name, curve in curves.items()
        ]
        return cls(constant, (*bare, *own), {n: site.units for n, site in chosen.items()})

    def __call__(self, kept: Mapping[str, int]) -> int:
        """Nanoseconds when each site keeps ``kept[site]`` units; sites not named keep all."""
        return self.constant + _sum(self.terms, kept)

    def step(self, site: str, kept: Mapping[str, int], by: int = 1) -> Fraction:
        """What ``by`` more units of a site cost when the sites keep ``kept``; it may be 0."""
        terms = self._by_site[site]
        more = {**kept, site: kept.get(site, self.sizes[site]) + by}
        return Fraction(_sum(terms, more) - _sum(terms, kept))

    def price(self, site: str) -> Fraction:
        """What a unit of the site costs on average: a single one may cost nothing."""
        return -self.step(site, {}, -self.sizes[site]) / self.sizes[site]

    def alone(self, site: str) -> list[Fraction]:
        """[units + 1]: what a site adds, see :meth:`prunus.select._cost.Cost.alone`.

        Raises:
            PrunusError: what the site adds depends on whether another site stays.
        """
        terms = self._by_site[site]
        require_alone(site, (name for term in terms for name in term.sites), self.metric)
        return [Fraction(_sum(terms, {site: units})) for units in range(self.sizes[site] + 1)]

    @cached_property
    def _by_site(self) -> dict[str, list[Term]]:
        return {site: [term for term in self.terms if site in term.sites] for site in self.sizes}


def _gates(path: str, gates: Iterable[Site]) -> tuple[str, ...]:
    """The sublayers and layers whose removal removes what lies at ``path``."""
    return tuple(
        gate.name for gate in gates if path == gate.reader or path.startswith(f"{gate.reader}.")
    )


def _sum(terms: Iterable[Term], kept: Mapping[str, int]) -> int:
    return sum(term(kept) for term in terms)
