"""Values against something that grows, as lines in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from prunus.report._axes import Scale, Tick, decades, scale, ticks
from prunus.report._picture import Box, Dot, Key, Line, Picture, keyed, path, placed

BOX = Box(width=440, height=280, left=56, right=20, top=30, bottom=46)
STEEP = 3.0
"""From this ratio of the highest to the lowest value on, the axis is logarithmic."""


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: what it is; series of one name have one style, told once below the picture.
        style: how it looks, its colour first.
        points: what it goes through.
        marked: one of these that is shown as a dot, and its title.
        told: whether its name stands below; else it shows when the line is pointed at.
    """

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    marked: tuple[tuple[float, float], str] | None = None
    told: bool = True


def curves(
    title: str, series: Sequence[Series], below: str, above: str, walls: Sequence[float] = ()
) -> Picture | None:
    """Lines from the left to the right; None where no series has two points.

    Args:
        title: what they show, in words.
        series: the lines, what matters most last.
        below: what goes to the right.
        above: what goes upwards.
        walls: where something else begins, to the right.
    """
    points = [point for own in series for point in own.points]
    if all(len(own.points) < 2 for own in series):
        return None
    box = BOX
    rights = ticks(min(x for x, _ in points), max(x for x, _ in points))
    across = scale(rights[0], rights[-1], box.left, box.end)
    up, ups = _upwards([y for _, y in points], box)
    marks = [(own.style.split()[0], *own.marked) for own in series if own.marked is not None]
    lines = [Line(path(placed(own.points, across, up)), own.style, own.name) for own in series]
    standing = [Line(path([(across(x), box.top), (across(x), box.floor)]), "wall") for x in walls]
    made = Picture(
        title=title,
        box=box,
        across=tuple(Tick(across(value), f"{value:g}") for value in rights),
        up=ups,
        below=below,
        above=above,
        lines=(*standing, *lines),
        dots=tuple(Dot(across(x), up(y), colour, said) for colour, (x, y), said in marks),
    )
    styles = {own.name: own.style for own in series if own.told and own.points}
    return keyed(made, [Key(style, name) for name, style in styles.items()])


def _upwards(values: Sequence[float], box: Box) -> tuple[Scale, tuple[Tick, ...]]:
    """The upward axis, logarithmic where values are far apart."""
    low, high = min(values), max(values)
    if low > 0 and high / low > STEEP:
        inner = scale(log10(low), log10(high), box.floor, box.top)
        marks = decades(low, high)
        return (lambda value: inner(log10(value))), tuple(
            Tick(inner(log10(value)), f"{value:g}") for value in marks
        )
    marks = ticks(low, high)
    up = scale(marks[0], marks[-1], box.floor, box.top)
    return up, tuple(Tick(up(value), f"{value:g}") for value in marks)
