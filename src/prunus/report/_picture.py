"""Pictures as values: everything in them has its place in a box, and only waits to be drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from prunus.report._axes import Scale, Tick

LETTER, LINE = 7.0, 18.0
"""Width of a letter and height of a line, about."""
EDGE = 8.0
"""What stays free at the sides."""
COLOURS = tuple(f"c{n}" for n in range(8))
"""Styles of what is told apart by colour."""


@dataclass(frozen=True)
class Box:
    """The size of a picture, and what its axes leave free at the sides."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @property
    def end(self) -> float:
        """Where the plot ends on the right."""
        return self.width - self.right

    @property
    def floor(self) -> float:
        """Where the plot ends at the bottom."""
        return self.height - self.bottom


@dataclass(frozen=True)
class Rule:
    """A level line from side to side, with a text under its right end."""

    at: float
    style: str
    text: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points: ``1.0,2.0 3.0,4.0``."""

    points: str
    style: str
    title: str = ""


@dataclass(frozen=True)
class Dot:
    """A point.

    Attributes:
        x: its place.
        y: its place.
        style: how it looks.
        title: what it is.
        radius: of its circle.
        high: the upper end of its interval; None where it has none.
        low: the lower end.
        name: what stands at ``label``.
        label: the middle of its name; None where that is not shown.
    """

    x: float
    y: float
    style: str = ""
    title: str = ""
    radius: float = 4.5
    high: float | None = None
    low: float | None = None
    name: str = ""
    label: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bar:
    """A rectangle, ``x`` and ``y`` its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str


@dataclass(frozen=True)
class Key:
    """What a style stands for."""

    style: str
    text: str
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Picture:
    """A plot.

    Attributes:
        title: what it shows, in words.
        box: its size.
        across: numbers below.
        up: numbers, or names, on the left.
        below: what goes to the right.
        above: what goes upwards, written over the axis.
        rules: level lines.
        lines: through points.
        bars: rectangles.
        dots: points.
        keys: what styles stand for.
    """

    title: str
    box: Box
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    below: str
    above: str = ""
    rules: tuple[Rule, ...] = ()
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    keys: tuple[Key, ...] = ()


def path(points: Sequence[tuple[float, float]]) -> str:
    """Points as a line has them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def placed(
    points: Sequence[tuple[float, float]],
    across: Scale,
    up: Scale,
) -> list[tuple[float, float]]:
    """Where points lie in a box."""
    return [(across(x), up(y)) for x, y in points]


def keyed(picture: Picture, keys: Sequence[Key]) -> Picture:
    """The picture with what its styles stand for below it, in as many lines as that takes."""
    box, found = picture.box, list(_flowing(keys, picture.box))
    lines = max((key.y for key in found), default=-1.0) + 1
    laid = tuple(replace(key, y=box.height + LINE * (key.y + 0.5)) for key in found)
    grown = replace(box, height=box.height + LINE * lines, bottom=box.bottom + LINE * lines)
    return replace(picture, box=grown, keys=laid)


def _flowing(keys: Sequence[Key], box: Box) -> Iterator[Key]:
    """Keys side by side, ``y`` the number of their line."""
    x, line = EDGE, 0
    for key in keys:
        wide = 26 + LETTER * len(key.text) + 18
        if x > EDGE and x + wide > box.width:
            x, line = EDGE, line + 1
        yield replace(key, x=x, y=float(line))
        x += wide
