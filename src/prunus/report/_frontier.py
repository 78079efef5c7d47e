"""How far the model could be pruned: the densities that were tried, as rows and as a plot."""

from dataclasses import dataclass

from prunus.report import _units as show
from prunus.report._axes import Scale, Tick, scale, ticks
from prunus.report._picture import Box, Dot, Line, Picture, Rule, path
from prunus.report._schema import Report
from prunus.report._searched import Frontier, Step

COLUMNS = ("FLOPs stay", "parameters", "development", "change", "")
BOX = Box(width=760, height=320, left=48, right=28, top=16, bottom=52)


@dataclass(frozen=True)
class Tried:
    """One density: its name, a cell for every column, whether it met the bound, and was chosen."""

    density: str
    cells: tuple[str, ...]
    met: bool
    chosen: bool


def tried(report: Report) -> list[Tried]:
    """Every density, the highest first; nothing where none was searched for."""
    found = report.frontier
    if found is None:
        return []
    return [_row(report, found, step) for step in _sorted(found)]


def told(found: Frontier) -> str:
    """What was looked for, where, and how."""
    drawn = "" if found.named else " (drawn, as the recipe names none)"
    return (
        f"{bound(found)} may be lost on {found.n:,} examples of the {found.split} split{drawn},"
        f" where the dense model has {show.points(found.dense)}. {len(found.steps) + 1}"
        " evaluations, the dense model's included."
    )


def bound(found: Frontier) -> str:
    """What was asked for."""
    return f"At most {found.max_loss:g} point{'s' * (found.max_loss != 1)}"


def held(found: Frontier) -> str:
    """What the split that had no part in the search says."""
    if found.ahead is None or found.margin is None:
        return f"the {found.held} split says nothing: no number came out"
    return (
        f"the {found.held} split, seen once, says {show.signed(found.ahead)} ±"
        f" {show.points(found.margin)} points"
    )


def plot(report: Report) -> Picture | None:
    """The search as a picture; None where there was none.

    FLOPs that stay go to the right, points lost downwards.
    """
    found = report.frontier
    if found is None:
        return None
    steps = _sorted(found)
    least = min([-found.max_loss, *(_number(s.ahead) - _number(s.margin) for s in steps)])
    most = max([0.0, *(_number(s.ahead) + _number(s.margin) for s in steps)])
    ups = ticks(least, most)
    up = scale(min(least, ups[0]), max(most, ups[-1]), BOX.floor, BOX.top)
    across = scale(0.0, 1.0, BOX.left, BOX.end)
    dots = tuple(_dot(report, found, step, across, up) for step in steps)
    points = [(across(1.0), up(0.0)), *((dot.x, dot.y) for dot in dots)]
    return Picture(
        title="Points lost against the FLOPs that stay",
        box=BOX,
        across=tuple(Tick(across(x / 4), f"{25 * x} %") for x in range(5)),
        up=tuple(Tick(up(value), f"{value:g}".replace("-", show.MINUS)) for value in ups),
        below="FLOPs that stay",
        rules=(Rule(up(0.0), "zero"), Rule(up(-found.max_loss), "bound", bound(found).lower())),
        lines=(Line(path(points), "path"),),
        dots=dots,
    )


def _sorted(found: Frontier) -> list[Step]:
    return sorted(found.steps, key=lambda step: -step.density)


def _row(report: Report, found: Frontier, step: Step) -> Tried:
    chosen = step.density == found.chosen
    change = f"{show.signed(_number(step.ahead))} ± {show.points(step.margin)}"
    said = "chosen" if chosen else "" if step.met else "too much"
    cells = (
        show.percent(step.flops / report.flops.dense),
        show.scaled(step.params),
        show.points(step.quality),
        change,
        said,
    )
    return Tried(f"{step.density:g}", cells, step.met, chosen)


def _dot(
    report: Report,
    found: Frontier,
    step: Step,
    across: Scale,
    up: Scale,
) -> Dot:
    ahead, margin = _number(step.ahead), _number(step.margin)
    row = _row(report, found, step)
    return Dot(
        x=across(step.flops / report.flops.dense),
        y=up(ahead),
        style="strong" if row.chosen else "" if row.met else "missed",
        title=f"density {row.density}: {row.cells[0]} of the FLOPs, {row.cells[3]} points",
        radius=6.0 if row.chosen else 4.5,
        high=up(ahead + margin),
        low=up(ahead - margin),
    )


def _number(value: float | None) -> float:
    return value or 0.0
