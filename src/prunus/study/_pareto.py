"""Plots of quality against what it costs, one for every cost, with the results nothing beats."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from prunus.report import _units as show
from prunus.report._axes import Tick, scale, ticks
from prunus.report._picture import Box, Dot, Line, Picture, path
from prunus.study._result import Result

BOX = Box(width=440, height=300, left=48, right=28, top=14, bottom=46)
STRONG = "strong"
WIDE, HIGH = 6.2, 13.0
"""Width and height of a letter, about."""
Around = tuple[float, float, float, float]
Label = tuple[float, float]
Cost = Callable[[Result], float | None]
COSTS: dict[str, tuple[Cost, Callable[[float], str]]] = {
    "density": (lambda one: one.density, lambda value: f"{100 * value:g} %"),
    "parameters": (lambda one: one.params, show.scaled),
    "FLOPs": (lambda one: one.flops, show.scaled),
    "time against the dense model": (
        lambda one: 1 / one.speedup if one.speedup else None,
        lambda value: f"{100 * value:g} %",
    ),
}


def plots(results: Sequence[Result]) -> dict[str, list[Picture]]:
    """The plots of every task and metric, whose values alone can be compared."""
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(f"{one.task}, {one.metric}", []).append(one)
    return {name: found for name, own in groups.items() if (found := list(_plots(own)))}


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each (cost, quality) is one that no other point beats.

    >>> pareto([(1.0, 90.0), (0.5, 88.0), (0.6, 87.0)])
    [True, True, False]
    """
    return [
        not any(x <= cost and y >= value and (x, y) != (cost, value) for x, y in points)
        for cost, value in points
    ]


def _plots(results: Sequence[Result]) -> Iterator[Picture]:
    for cost, (value, text) in COSTS.items():
        found = [(own, one) for one in results if (own := value(one)) is not None]
        if len({own for own, _ in found}) > 1:
            yield _plot(cost, found, text)


def _plot(
    cost: str, found: Sequence[tuple[float, Result]], text: Callable[[float], str]
) -> Picture:
    costs, values = [own for own, _ in found], [one.pruned for _, one in found]
    rights, ups = ticks(min(costs), max(costs)), ticks(min(values), max(values))
    across = scale(rights[0], rights[-1], BOX.left, BOX.end)
    up = scale(ups[0], ups[-1], BOX.floor, BOX.top)
    best = pareto(list(zip(costs, values, strict=True)))
    dots = [
        Dot(
            across(own), up(one.pruned), STRONG if first else "missed",
            _title(one, cost, text(own)), name=one.name,
        )
        for (own, one), first in zip(found, best, strict=True)
    ]  # fmt: skip
    return Picture(
        title=f"{found[0][1].metric} against {cost}",
        box=BOX,
        across=tuple(Tick(across(value), text(value)) for value in rights),
        up=tuple(Tick(up(value), f"{value:g}") for value in ups),
        below=cost,
        lines=(Line(path(sorted((dot.x, dot.y) for dot in dots if dot.style == STRONG)), "path"),),
        dots=tuple(_labelled(dots)),
    )


def _title(one: Result, cost: str, own: str) -> str:
    return f"{one.name}: {one.metric} {show.points(one.pruned)}, {cost} {own}"


def _labelled(dots: Sequence[Dot]) -> list[Dot]:
    """Names beside dots, the best ones' first, where they cover no other name and no dot."""
    taken = [(dot.x - 5, dot.y - 5, dot.x + 5, dot.y + 5) for dot in dots]
    found = []
    for dot in sorted(dots, key=lambda dot: dot.style != STRONG):
        label = None
        for box, place in _places(dot):
            inside = box[0] >= BOX.left and box[2] <= BOX.width and box[1] >= 0
            if inside and not any(_cover(box, other) for other in taken):
                label = place
                taken.append(box)
                break
        found.append(replace(dot, label=label))
    return found[::-1]


def _places(dot: Dot) -> Iterator[tuple[Around, Label]]:
    """Where a name could stand: right of its dot, left, above, below."""
    wide = WIDE * len(dot.name)
    for left, down in ((8, 0), (-8 - wide, 0), (-wide / 2, -HIGH), (-wide / 2, HIGH)):
        x, y = dot.x + left, dot.y + down
        yield (x, y - HIGH / 2, x + wide, y + HIGH / 2), (x + wide / 2, y + 4)


def _cover(one: Around, other: Around) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
