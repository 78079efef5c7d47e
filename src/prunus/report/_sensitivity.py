"""How sensitive each site is: curves, a map of layers and densities, and rows of a table."""

from dataclasses import dataclass
from math import log

from rich.table import Table
from rich.text import Text

from prunus.report import _units as show
from prunus.report._curves import Series, curves
from prunus.report._heat import place
from prunus.report._picture import COLOURS, Picture
from prunus.report._rows import label
from prunus.sensitivity import Measurement, Sensitivity, SiteCurve

TOLD = 4
"""How many sites of a kind, the most sensitive ones, have a colour of their own."""
LEAST = 1e-6
"""Losses below count as this in pictures, whose axes are logarithmic."""
LEVELS = 10
COLOURED = (
    "A line for each site, the most sensitive ones of a kind coloured; the others tell their names"
    " when they are pointed at."
)


@dataclass(frozen=True)
class Ranked:
    """A site, and the measurement for every density that was asked for."""

    rank: int | None
    curve: SiteCurve
    points: tuple[Measurement | None, ...]


@dataclass(frozen=True)
class Shade:
    """A measurement as a cell of a map: its colour from 0 to :data:`LEVELS`, and what it says."""

    level: int
    text: str
    title: str


@dataclass(frozen=True)
class Map:
    """Layers against densities, for the sites of one kind in one stack."""

    title: str
    rows: dict[str, tuple[Shade | None, ...]]


def asked(found: Sensitivity) -> list[float]:
    """The densities of the table's columns, falling."""
    points = (point for curve in found.sites for point in curve.points)
    return sorted({density for point in points for density in point.asked}, reverse=True)


def ranked(found: Sensitivity) -> list[Ranked]:
    """Every site in the order of the model; rank 1 loses most at :func:`decisive`."""
    columns, at = asked(found), decisive(found)
    rows = [(own, tuple(_at(own, density) for density in columns)) for own in found.sites]
    losses = sorted((point.loss for own in found.sites if (point := _at(own, at))), reverse=True)
    ranks = [losses.index(point.loss) + 1 if (point := _at(o, at)) else None for o, _ in rows]
    return [Ranked(rank, own, points) for rank, (own, points) in zip(ranks, rows, strict=True)]


def decisive(found: Sensitivity) -> float:
    """The density by which sites are ranked: where most were measured, the nearest to one half."""
    counts = {d: sum(_at(own, d) is not None for own in found.sites) for d in asked(found)}
    return max(counts, key=lambda density: (counts[density], -abs(density - 0.5)))


def told(found: Sensitivity) -> str:
    """What was measured, where and how long."""
    points = sum(len(own.points) for own in found.sites)
    rest = "" if found.complete else "; time was up before all were measured, another call goes on"
    return (
        f"Divergence of the answers from the dense model's, in nats, on {found.samples:,} examples"
        f" of the {found.split} split, when a site alone is cut: {points} measurements of"
        f" {len(found.sites)} sites in {show.duration(found.seconds)}{rest}."
    )


def sensitivity_table(found: Sensitivity) -> Table:
    """A row for each site: its rank, and its loss at each density."""
    made = Table(title=Text(found.model), title_justify="left", caption=Text(told(found)))
    made.add_column("site")
    made.add_column("rank", justify="right")
    for density in asked(found):
        made.add_column(show.percent(density, 0), justify="right")
    for row in ranked(found):
        losses = (show.small(point.loss) if point else "" for point in row.points)
        made.add_row(*map(Text, (row.curve.site, str(row.rank or ""), *losses)))
    return made


def pictures(found: Sensitivity) -> list[Picture]:
    """For every kind of site, the losses of its sites against what stays."""
    order = {row.curve.site: row.rank or len(found.sites) for row in ranked(found)}
    made = []
    for kind in dict.fromkeys(own.kind for own in found.sites):
        own = sorted((s for s in found.sites if s.kind == kind), key=lambda s: order[s.site])
        series = [_series(one, number) for number, one in enumerate(own) if one.points]
        made.append(curves(label(kind).capitalize(), series[::-1], "units that stay, %", "nats"))
    return [picture for picture in made if picture is not None]


def maps(found: Sensitivity) -> list[Map]:
    """Layers against densities; darker loses more, on a logarithmic scale common to all."""
    losses = [log(max(point.loss, LEAST)) for own in found.sites for point in own.points]
    low, high = min(losses), max(losses)
    made: dict[str, Map] = {}
    for row in ranked(found):
        stack, layer, column = place(row.curve.site)
        own = made.setdefault(f"{stack} {column}", Map(f"{stack}: {column}", {}))
        own.rows[layer] = tuple(
            point and _shade(row.curve, point, low, high) for point in row.points
        )
    return list(made.values())


def _at(curve: SiteCurve, density: float) -> Measurement | None:
    return next((point for point in curve.points if density in point.asked), None)


def _series(own: SiteCurve, number: int) -> Series:
    points = [(100 * point.density, max(point.loss, LEAST)) for point in own.points]
    if number >= TOLD:
        return Series(own.site, "line faint", points, told=False)
    return Series(own.site, f"{COLOURS[number]} line", points)


def _shade(own: SiteCurve, point: Measurement, low: float, high: float) -> Shade:
    share = (log(max(point.loss, LEAST)) - low) / (high - low) if high > low else 1.0
    title = f"{own.site}, {point.units:,} of {own.units:,} units: {_loss(point)}"
    return Shade(round(LEVELS * share), show.small(point.loss), title)


def _loss(point: Measurement) -> str:
    return f"{show.small(point.loss)} ± {show.small(point.stderr)} nats"
