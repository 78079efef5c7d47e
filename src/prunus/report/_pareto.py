"""Quality against what it costs: a plot for every cost, with the models that nothing beats."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prunus.report import _units as show
from prunus.report._axes import Scale, Tick, scale, ticks
from prunus.report._picture import Box, Dot, Line, Picture, Rule, path

BOX = Box(width=440, height=300, left=48, right=28, top=30, bottom=46)
STRONG, CHOSEN = "strong", "strong chosen"
WIDE, HIGH = 6.2, 13.0
"""Width and height of a letter, about."""
Around = tuple[float, float, float, float]
Label = tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """An axis to the right.

    Attributes:
        name: what is paid.
        shown: a value as people read it.
        most: how much may be paid; None is any amount.
    """

    name: str
    shown: Callable[[float], str]
    most: float | None = None


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: what it is called.
        value: its quality, in percent.
        costs: what it costs, by the names of costs.
        chosen: whether it is the one that was looked for.
    """

    name: str
    value: float
    costs: Mapping[str, float]
    chosen: bool = False


@dataclass(frozen=True)
class Quality:
    """The axis upwards.

    Attributes:
        metric: its name.
        dense: of the dense model, where all have the same; a level line.
        least: how good a model has to be; None is any quality.
    """

    metric: str
    dense: float | None = None
    least: float | None = None


def plots(models: Sequence[Model], quality: Quality, costs: Sequence[Cost]) -> list[Picture]:
    """A plot for every cost in which models differ; bounds are drawn where there are such.

    Args:
        models: of one task, measured by one metric.
        quality: what goes upwards.
        costs: what may go to the right.
    """
    found = []
    for cost in costs:
        paid = [one for one in models if cost.name in one.costs]
        if len({one.costs[cost.name] for one in paid}) > 1:
            found.append(_plot(paid, quality, cost))
    return found


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each (cost, quality) is one that no other point beats.

    >>> pareto([(1.0, 90.0), (0.5, 88.0), (0.6, 87.0)])
    [True, True, False]
    """
    return [
        not any(x <= cost and y >= value and (x, y) != (cost, value) for x, y in points)
        for cost, value in points
    ]


def _plot(models: Sequence[Model], quality: Quality, cost: Cost) -> Picture:
    points = [(one.costs[cost.name], one.value) for one in models]
    rights = _ticks([own for own, _ in points], cost.most)
    ups = _ticks([own for _, own in points], quality.least, quality.dense)
    across = scale(rights[0], rights[-1], BOX.left, BOX.end)
    up = scale(ups[0], ups[-1], BOX.floor, BOX.top)
    first = pareto(points)
    places = [(across(own), up(value)) for own, value in points]
    front = sorted(place for place, own in zip(places, first, strict=True) if own)
    dots = [
        Dot(
            *place,
            style=CHOSEN if one.chosen else STRONG if own else "missed",
            title=f"{one.name}: {quality.metric} {show.points(one.value)}, {cost.name} "
            + cost.shown(one.costs[cost.name]),
            radius=6.0 if one.chosen else 4.5,
            name=one.name,
        )
        for one, place, own in zip(models, places, first, strict=True)
    ]
    return Picture(
        title=f"{quality.metric} against {cost.name}",
        box=BOX,
        across=tuple(Tick(across(value), cost.shown(value)) for value in rights),
        up=tuple(Tick(up(value), f"{value:g}") for value in ups),
        below=cost.name,
        above=quality.metric,
        rules=tuple(_rules(quality, up)),
        lines=(*_wall(cost, across), Line(path(front), "path")),
        dots=tuple(_labelled(dots)),
    )


def _ticks(values: Sequence[float], *others: float | None) -> list[float]:
    reached = [*values, *(own for own in others if own is not None)]
    return ticks(min(reached), max(reached))


def _rules(quality: Quality, up: Scale) -> Iterator[Rule]:
    if quality.dense is not None:
        yield Rule(up(quality.dense), "zero")
    if quality.least is not None:
        yield Rule(up(quality.least), "bound")


def _wall(cost: Cost, across: Scale) -> Iterator[Line]:
    if cost.most is not None:
        x = across(cost.most)
        yield Line(
            path([(x, BOX.top), (x, BOX.floor)]), "bound", f"at most {cost.shown(cost.most)}"
        )


def _labelled(dots: Sequence[Dot]) -> list[Dot]:
    """Names beside dots, the best ones' first, where they cover no other name and no dot."""
    taken = [(dot.x - 5, dot.y - 5, dot.x + 5, dot.y + 5) for dot in dots]
    found = []
    for dot in sorted(dots, key=lambda dot: (dot.style != CHOSEN, dot.style != STRONG)):
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
    wide, off = WIDE * len(dot.name), dot.radius + 3.5
    for left, down in ((off, 0), (-off - wide, 0), (-wide / 2, -HIGH), (-wide / 2, HIGH)):
        x, y = dot.x + left, dot.y + down
        yield (x, y - HIGH / 2, x + wide, y + HIGH / 2), (x + wide / 2, y + 4)


def _cover(one: Around, other: Around) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
