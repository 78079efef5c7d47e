"""Baselines that keep a pruned model honest, measured on the same examples and the same machine."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from prunus import ranks
from prunus.errors import PrunusError
from prunus.measure.size import bytes, parameters
from prunus.probe._tokens import mean_length
from prunus.probe.work import flops, single
from prunus.recipe._bars import Bars
from prunus.recipe._measured import latencies
from prunus.recipe._rivals import Rival, Rivals
from prunus.recipe._settings import Evaluation, Latency
from prunus.report import _schema as schema
from prunus.safe import Kept, SafePoints
from prunus.task import Prepared, Quality, difference


def compare(
    names: Iterable[str],
    rivals: Rivals,
    prepared: Prepared[Any],
    pruned: Quality,
    *,
    evaluation: Evaluation,
    latency: Latency | None,
    length: int | None,
    bars: Bars,
    safe: SafePoints,
) -> Iterator[schema.Baseline]:
    """One row for each baseline; one that cannot be made says why instead of numbers.

    Args:
        names: random, narrower, shallower, bfloat16 or int8.
        rivals: makes them.
        prepared: the task.
        pruned: what the pruned model answered on the split that ``evaluation`` names.
        evaluation: where quality is measured.
        latency: how time is measured, paired with the dense model; None measures none.
        length: tokens of each sequence that is timed, unless ``latency`` says so.
        bars: show progress.
        safe: what was found, and outlives the process.
    """
    first = next(iter(rivals.job.batches))
    batch = prepared.inputs(first)

    def row(name: str) -> schema.Baseline:
        try:
            rival = rivals.make(name)
        except PrunusError as error:
            return schema.Baseline(name=name, made=f"not made: {error}")
        shown = partial(bars.over, what=f"evaluate {name}")
        quality = prepared.evaluate(rival.model, evaluation.split, evaluation.batch_size, shown)
        ahead = difference(pruned, quality)
        timed = partial(_times, rivals, rival, batch, latency, length, bars)
        return schema.Baseline(
            name=name,
            made=rival.made,
            quality=quality.value,
            stderr=quality.stderr,
            ahead=ahead.value,
            margin=ahead.margin,
            **_sizes(rivals, rival, batch),
            latency_ms=ranks.by_first(lambda: tuple(timed())) or (),
        )

    for name in names:
        yield safe.once(
            f"baseline {name}", partial(row, name),
            lambda found: Kept(found.model_dump(mode="json")),
            lambda kept: schema.Baseline.model_validate(kept.said),
        )  # fmt: skip


def _sizes(rivals: Rivals, rival: Rival, batch: Mapping[str, Tensor]) -> dict[str, int]:
    """Another number format leaves parameters and FLOPs as they are, and hides them from counts."""
    counted = rival.model if rival.pruned else rivals.job.model
    sample = single(batch, mean_length(rivals.job.batches))
    return {
        "params": parameters(counted),
        "flops": flops(counted, sample),
        "bytes": bytes(rival.model),
    }


def _times(
    rivals: Rivals,
    rival: Rival,
    batch: Mapping[str, Tensor],
    settings: Latency | None,
    length: int | None,
    bars: Bars,
) -> Iterator[schema.Latency]:
    if settings is not None:
        models = rivals.job.model, rival.model
        ideal = None if rival.pruned else 1.0
        yield from latencies(models, batch, settings, settings.length or length, bars, ideal)
