"""Tables of what stays."""

import re
from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table
from rich.text import Text

from prunus.measure.table import Table as Times
from prunus.recipe.check import Preview, Timetable
from prunus.report import _units as show
from prunus.report._heat import Cell, heats
from prunus.select._amounts import told_points

LABELS = {
    "params": "parameters",
    "weights": "weights not zero",
    "flops": "FLOPs",
    "bytes": "bytes saved",
}


def per_layer(kept: Mapping[str, tuple[int, int]]) -> Iterator[Table]:
    """For each stack of layers a row a layer and a column a kind of site: units that stay."""
    for heat in heats(dict(kept)):
        table = Table(title=Text(heat.title), title_justify="left")
        table.add_column("layer")
        for column in heat.columns:
            table.add_column(column, justify="right")
        for layer, cells in heat.rows.items():
            table.add_row(layer, *(_cell(cells.get(column)) for column in heat.columns))
        yield table


def patterns(sites: Iterable[str]) -> str:
    """How sites are called, with N for the layer: what rules are matched against."""
    return ", ".join(dict.fromkeys(re.sub(r"\b\d+\b", "N", name, count=1) for name in sites))


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.kept:,}" if cell.kept == cell.of else f"{cell.kept:,} of {cell.of:,}"


def timetable(found: Timetable) -> Iterator[str]:
    """When a training changes masks."""
    for times in found.times:
        yield (
            f"training: {found.steps:,} steps, {found.epoch:,} an epoch; masks are chosen every"
            f" {times.every:,} steps, from step {times.start:,} to step {times.last_due:,}"
        )


def amounts(found: Preview) -> Table:
    """What the budget means in every metric."""
    budget = found.budget
    told = f"metric {budget.metric}, of {budget.of}, {budget.scope}"
    table = Table(title=Text(f"budget: {_asked(found)}, {told}"), title_justify="left")
    table.caption = Text(
        "what stays is here drawn by chance: scores decide which units, the budget how many; FLOPs"
        f" are those of one {_sample(found)}"
    )
    for name in ("", "whole model", "can be cut", "stays", "of what can be cut", "of the model"):
        table.add_column(name, justify="right" if name else "left")
    for one in found.amounts:
        cuttable = (one.stays - one.whole + one.sites) / one.sites if one.sites else 1.0
        table.add_row(
            LABELS.get(one.metric, one.metric),
            *(f"{value:,}" for value in (one.whole, one.sites, one.stays)),
            show.percent(cuttable),
            show.percent(one.stays / one.whole),
        )
    return table


def _sample(found: Preview) -> str:
    if found.length is None:
        return "image"
    return f"sample of {found.length} tokens, the mean of {found.samples} samples"


def _asked(found: Preview) -> str:
    """How much may stay, and what is asked for where that is said in another way."""
    budget = found.budget
    if found.pick is not None:
        return f"as configuration {found.pick} says"
    if budget.max_loss is not None:
        return f"max_loss {told_points(budget.max_loss)}, densities from {found.density:g} on"
    if budget.max_bytes is not None:
        return f"max_bytes {budget.max_bytes:,}, density {found.density:.4f}"
    return f"density {found.density}"


def widths(found: Times) -> Iterator[Table]:
    """What every width of the sublayers costs in time; those that compute alike are one table."""
    for index, curve in enumerate(found.curves):
        sites = [name for name, which in found.sites.items() if which == index]
        table = Table(title=Text(patterns(sites)), title_justify="left")
        table.caption = Text(f"{len(sites)} like {sites[0]}")
        for name in ("units", "time", "of the whole"):
            table.add_column(name, justify="right")
        for units, ms in zip(curve.units, curve.ms, strict=True):
            time = ms * found.scale
            table.add_row(f"{units:,}", show.milliseconds(time), show.percent(time / found.dense))
        yield table
    ends = Table(title=Text("whole model, one call"), title_justify="left")
    ends.add_column("")
    ends.add_column("time", justify="right")
    ends.add_row("dense", show.milliseconds(found.dense))
    ends.add_row("without heads and neurons", show.milliseconds(found.bare))
    ends.caption = Text("noisy: remove the file and measure again" if found.noisy else "")
    yield ends
