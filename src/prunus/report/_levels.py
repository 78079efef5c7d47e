"""Things below each other by name, and how far each reaches, in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from prunus.report._axes import Scale, Tick, scale, ticks
from prunus.report._picture import LETTER, LINE, Bar, Box, Dot, Key, Line, Picture, keyed, path

WIDTH, RIGHT, TOP, BOTTOM = 440, 20, 8, 46
LONGEST = 34
"""Letters of a name that are shown, the last ones."""
THICK = 11.0


@dataclass(frozen=True)
class Part:
    """One value of a level: how it looks and what it is."""

    value: float
    style: str
    title: str


@dataclass(frozen=True)
class Level:
    """A name with its values."""

    name: str
    parts: Sequence[Part]


def stacked(title: str, levels: Sequence[Level], below: str, keys: Sequence[Key]) -> Picture:
    """A bar for each level: its parts, one after another from 0 on."""
    sums = [sum(part.value for part in level.parts) for level in levels]
    box, across, ups, rights = _laid(levels, max(sums, default=0.0))
    bars = []
    for level, tick in zip(levels, ups, strict=True):
        ends = list(accumulate((part.value for part in level.parts), initial=0.0))
        for part, start in zip(level.parts, ends[:-1], strict=True):
            wide = across(start + part.value) - across(start)
            at = tick.at - THICK / 2
            bars.append(Bar(across(start), at, wide, THICK, part.style, part.title))
    made = Picture(title, box, rights, ups, below, bars=tuple(bars))
    return keyed(made, keys)


def dumbbells(title: str, levels: Sequence[Level], below: str, keys: Sequence[Key]) -> Picture:
    """Dots for each level: its values, joined from the first to the last."""
    most = max((part.value for level in levels for part in level.parts), default=0.0)
    box, across, ups, rights = _laid(levels, most)
    lines, dots = [], []
    for level, tick in zip(levels, ups, strict=True):
        xs = [across(part.value) for part in level.parts]
        lines.append(Line(path([(x, tick.at) for x in xs]), "path", level.name))
        dots += [
            Dot(x, tick.at, part.style, part.title) for x, part in zip(xs, level.parts, strict=True)
        ]
    made = Picture(title, box, rights, ups, below, lines=tuple(lines), dots=tuple(dots))
    return keyed(made, keys)


def _laid(
    levels: Sequence[Level], most: float
) -> tuple[Box, Scale, tuple[Tick, ...], tuple[Tick, ...]]:
    """The box, the axis from 0 to the right, the names on the left, the numbers below."""
    names = [_end_of(level.name) for level in levels]
    left = 18 + LETTER * max(map(len, names), default=0)
    box = Box(WIDTH, TOP + LINE * len(levels) + BOTTOM, left, RIGHT, TOP, BOTTOM)
    marks = [value for value in ticks(0.0, most or 1.0) if value >= 0]
    across = scale(0.0, marks[-1], box.left, box.end)
    ups = tuple(Tick(TOP + LINE * (n + 0.5), name) for n, name in enumerate(names))
    return box, across, ups, tuple(Tick(across(value), f"{value:g}") for value in marks)


def _end_of(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
