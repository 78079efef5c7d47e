"""How far the model could be pruned: the densities that were tried, as rows and as a plot."""

from collections.abc import Callable
from dataclasses import dataclass

from prunus.report import _units as show
from prunus.report._axes import Tick, scale, ticks
from prunus.report._schema import Report
from prunus.report._searched import Frontier, Step

COLUMNS = ("FLOPs stay", "parameters", "development", "change", "")
WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 48, 28, 16, 52


@dataclass(frozen=True)
class Tried:
    """One density: its name, a cell for every column, whether it met the bound, and was chosen."""

    density: str
    cells: tuple[str, ...]
    met: bool
    chosen: bool


@dataclass(frozen=True)
class Dot:
    """A density in the plot: its place, the ends of its 95 % interval, what it is."""

    x: float
    y: float
    high: float
    low: float
    met: bool
    chosen: bool
    title: str


@dataclass(frozen=True)
class Plot:
    """A plot in a box of WIDTH by HEIGHT: FLOPs that stay to the right, points lost downwards."""

    dots: tuple[Dot, ...]
    line: str
    bound: float
    dense: float
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


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


def plot(report: Report) -> Plot | None:
    """The search as a picture; None where there was none."""
    found = report.frontier
    if found is None:
        return None
    steps = _sorted(found)
    least = min([-found.max_loss, *(_number(s.ahead) - _number(s.margin) for s in steps)])
    most = max([0.0, *(_number(s.ahead) + _number(s.margin) for s in steps)])
    ups = ticks(least, most)
    up = scale(min(least, ups[0]), max(most, ups[-1]), HEIGHT - BOTTOM, TOP)
    across = scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    dots = tuple(_dot(report, found, step, across, up) for step in steps)
    points = [(across(1.0), up(0.0)), *((dot.x, dot.y) for dot in dots)]
    return Plot(
        dots=dots,
        line=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        bound=up(-found.max_loss),
        dense=up(0.0),
        across=tuple(Tick(across(x / 4), f"{25 * x} %") for x in range(5)),
        up=tuple(Tick(up(value), f"{value:g}".replace("-", show.MINUS)) for value in ups),
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
    across: Callable[[float], float],
    up: Callable[[float], float],
) -> Dot:
    ahead, margin = _number(step.ahead), _number(step.margin)
    row = _row(report, found, step)
    return Dot(
        x=across(step.flops / report.flops.dense),
        y=up(ahead),
        high=up(ahead + margin),
        low=up(ahead - margin),
        met=row.met,
        chosen=row.chosen,
        title=f"density {row.density}: {row.cells[0]} of the FLOPs, {row.cells[3]} points",
    )


def _number(value: float | None) -> float:
    return value or 0.0
