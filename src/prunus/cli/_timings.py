"""Tables of two checkpoints' times."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from prunus.recipe._settings import SPARSE
from prunus.report import _units as show
from prunus.report._bench import HALF, Bench, Cell
from prunus.report._rows import call, clock, ratio
from prunus.report._schema import Latency, Timing

BUSY = 0.2
"""Cores that other processes may keep busy without a word."""


def timings(found: Bench) -> Iterator[Table]:
    """Sizes, then a table for each runtime: a row for every call and clock."""
    yield _sizes(found)
    for runtime in dict.fromkeys(cell.latency.runtime for cell in found.cells):
        yield _runtime(found, [one for one in found.cells if one.latency.runtime == runtime])


def told_across(found: Bench) -> Iterator[Table]:
    """Every runtime against the first one's dense model; nothing where there is only one."""
    runtimes = list(dict.fromkeys(cell.latency.runtime for cell in found.cells))
    if len(runtimes) < 2:
        return
    made = Table(title=Text(f"across runtimes, against dense {runtimes[0]}"), title_justify="left")
    made.caption = Text(
        "Not timed in turns, and no merit of pruning: a slow runtime makes every other look fast."
        " By wall time where there are several threads."
    )
    for name in ("call", "runtime", "dense", "pruned"):
        made.add_column(name, justify="right" if name in ("dense", "pruned") else "left")
    bases = {call(one.latency): _spent(one.latency).dense for one in reversed(found.cells)
             if one.latency.runtime == runtimes[0]}  # fmt: skip
    for one in found.cells:
        taken, spent = one.latency, _spent(one.latency)
        base = bases[call(taken)]
        ratios = (show.times(base / ms) for ms in (spent.dense, spent.pruned))
        made.add_row(call(taken), taken.runtime, *ratios)
    yield made


def _spent(taken: Latency) -> Timing:
    """The times that are held against another runtime's.

    Threads that wait for others keep their cores busy, in each runtime for another while.
    """
    return taken.wall if taken.threads > 1 and taken.wall is not None else taken


def _sizes(found: Bench) -> Table:
    made = Table(title_justify="left")
    for name in ("", "dense", "pruned", "dense / pruned"):
        made.add_column(name, justify="right" if name else "left")
    pairs = {"parameters": found.params} | {_work(one): one.flops for one in found.cells}
    for name, pair in pairs.items():
        sizes = show.scaled(pair.dense), show.scaled(pair.pruned)
        made.add_row(name, *sizes, show.times(pair.dense / pair.pruned))
    return made


def _runtime(found: Bench, cells: list[Cell]) -> Table:
    first = cells[0]
    title = Text(f"{first.latency.runtime}, {first.dtype}")
    made = Table(title=title, title_justify="left", caption_justify="left")
    for name in ("call", "clock", "dense", "pruned", "dense / pruned", "of the ideal"):
        made.add_column(name, justify="left" if name in ("call", "clock") else "right")
    for one in cells:
        taken = one.latency
        made.add_row(call(taken), clock(taken), *_timing(taken, taken))
        if taken.wall is not None and taken.clock != "wall":
            made.add_row("", "wall", *_timing(taken.wall, taken))
    made.caption = Text("\n".join(_remarks(found, cells)))
    return made


def _timing(timing: Timing, taken: Latency) -> tuple[str, ...]:
    reached = f"{show.percent(timing.speedup / taken.ideal, 0)} of {show.times(taken.ideal)}"
    return show.milliseconds(timing.dense), show.milliseconds(timing.pruned), ratio(timing), reached


def _remarks(found: Bench, cells: list[Cell]) -> Iterator[str]:
    yield "dense / pruned: median over the pairs (quartiles); ideal: the ratio of the FLOPs"
    shares = [share for one in cells if (share := found.share(one)) is not None]
    if shares:
        library, peak = max(found.peaks.items(), key=lambda item: item[1])
        reached = " to ".join(dict.fromkeys(show.percent(s, 0) for s in (min(shares), max(shares))))
        yield (
            f"the dense model reaches {reached} of what a core of this machine does in products of"
            f" float32 matrices: {show.scaled(peak)}FLOP/s, by {library}"
        )
    if shares and min(shares) < HALF:
        yield "below half: a slow baseline. Compare it with no other runtime's times"
    yield from _noise(cells)


def _noise(cells: Sequence[Cell]) -> Iterator[str]:
    noisy = [call(one.latency) for one in cells if one.latency.noisy]
    if noisy:
        yield f"noisy, measure again: {'; '.join(noisy)}"
    if any(one.latency.threads > 1 and one.latency.clock == "cpu" for one in cells):
        yield "CPU time of several threads counts their waiting, too: wall time tells what they win"
    others = max(one.latency.others or 0.0 for one in cells)
    if others > BUSY:
        yield f"other processes kept up to {others:.1f} cores busy: trust CPU time, not wall time"


def _work(cell: Cell) -> str:
    zeros = " but for zeros" if cell.latency.runtime == SPARSE else ""
    return f"FLOPs{zeros}, {show.call(cell.latency.batch, cell.latency.length)}"
