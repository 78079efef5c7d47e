"""What quality costs, in plots: the runs of each task and metric beside each other."""

from collections.abc import Sequence
from functools import partial

from prunus.report import _units as show
from prunus.report._pareto import Cost, Model, Quality
from prunus.report._pareto import plots as drawn
from prunus.report._picture import Picture
from prunus.study._result import Result
from prunus.study._wanted import Wanted, grouped

TIME = "time against the dense model"


def plots(results: Sequence[Result], wanted: Wanted | None = None) -> dict[str, list[Picture]]:
    """The plots of every task and metric, whose values alone can be compared.

    Args:
        results: of runs.
        wanted: what was asked for: its bounds are drawn, and what meets them best is marked.
    """
    asked = wanted or Wanted()
    found = {name: _group(own, asked) for name, own in grouped(results).items()}
    return {name: own for name, own in found.items() if own}


def _group(results: Sequence[Result], wanted: Wanted) -> list[Picture]:
    best, times = wanted.best(results), _times(results)
    models = [
        Model(one.name, one.pruned, _costs(one, times), one.name == (best and best.name))
        for one in results
    ]
    dense = min(one.dense for one in results)
    bounded = wanted.max_loss is not None and all(one.dense == dense for one in results)
    least = dense - (wanted.max_loss or 0.0) if bounded else None
    slowest = 1 / wanted.speedup if wanted.speedup else None
    costs = [
        Cost("FLOPs", show.scaled),
        *(Cost(name, show.share, slowest) for name in times.values()),
        Cost("bytes", partial(show.scaled, unit="B"), wanted.max_bytes),
        Cost("parameters", show.scaled),
        Cost("density", show.share),
    ]
    return drawn(models, Quality(results[0].metric, dense if bounded else None, least), costs)


def _times(results: Sequence[Result]) -> dict[str | None, str]:
    """What ratios of times are called: those of other runtimes and calls have axes of their own."""
    timed = dict.fromkeys(one.timed for one in results if one.speedup)
    return {own: TIME if len(timed) == 1 else f"time, {own or 'unknown call'}" for own in timed}


def _costs(one: Result, times: dict[str | None, str]) -> dict[str, float]:
    costs = {
        "FLOPs": one.flops, "bytes": one.bytes, "parameters": one.params, "density": one.density,
    }  # fmt: skip
    if one.speedup:
        costs[times[one.timed]] = 1 / one.speedup
    return {name: value for name, value in costs.items() if value is not None}
