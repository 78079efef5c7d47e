"""From what a run found to its report."""

from dataclasses import asdict, dataclass
from typing import Any

from transformers import PreTrainedModel

from prunus.drive._composed import Composed
from prunus.measure.hardware import hardware, versions
from prunus.measure.size import bytes, parameters
from prunus.plan import Plan
from prunus.probe.work import single
from prunus.recipe._composed import library
from prunus.recipe._measured import Claims, Lengths, density
from prunus.recipe._model import Recipe, Settings
from prunus.recipe._times import Times
from prunus.recipe._zeros import zeros
from prunus.report import Report
from prunus.report import _schema as schema
from prunus.report._exported import Export
from prunus.select import Cost
from prunus.sensitivity import Sensitivity
from prunus.task import History, Quality, agreement, difference


@dataclass(frozen=True)
class Findings:
    """Everything that a run found out; pairs are (dense, pruned).

    Attributes:
        settings: the recipe with its defaults.
        qualities: of both models.
        detail: what the qualities hide.
        baselines: what needs no network, in percent.
        touch_up: what training after pruning gave back, if it was asked for.
        compared: what could have been done instead.
        frontier: how the density was found, where it had to be.
        sensitivity: of every site, where that was measured first.
        histories: of the trainings of a drive.
        composed: what a model was composed of, where it was.
        models: both models.
        trained: parameters that a drive trained, where one did.
        claims: the costs.
        cost: in the budget's metric.
        plan: what stays.
        vocabulary: which tokens stay, where some went.
        times: paired measurements.
        exports: of the saved model.
        equivalence: differences of outputs.
        calibration: samples and tokens.
        lengths: tokens of the data's mean sample, and of a padded one, where it has any.
        seconds: of each phase.
        peak: bytes of memory.
    """

    settings: Settings
    qualities: tuple[Quality, Quality]
    detail: schema.Detail
    baselines: dict[str, float]
    touch_up: schema.TouchUp | None
    compared: list[schema.Baseline]
    frontier: schema.Frontier | None
    sensitivity: Sensitivity | None
    histories: list[History]
    composed: Composed | None
    models: tuple[PreTrainedModel, PreTrainedModel]
    trained: int | None
    claims: Claims
    cost: Cost
    plan: Plan
    vocabulary: schema.Vocabulary | None
    times: Times
    exports: list[Export]
    equivalence: dict[str, float]
    calibration: dict[str, int]
    lengths: Lengths
    seconds: dict[str, float]
    peak: int


def report_of(recipe: Recipe, found: Findings) -> Report:
    """The report; settings and measurements that it has no key for stand beside."""
    extra: dict[str, Any] = {
        "metrics": _metrics(*found.qualities),
        "calibration": found.calibration,
        "plan": found.plan.fingerprint(),
    }
    return Report(
        recipe=found.settings,
        model=recipe.model,
        task=task_name(recipe.task),
        quality=_quality(*found.qualities, found.baselines),
        detail=found.detail,
        touch_up=found.touch_up,
        compared=tuple(found.compared),
        frontier=found.frontier,
        sensitivity=found.sensitivity,
        histories=_histories(found.histories),
        library=library(found.composed),
        density=density(found.cost, found.plan),
        zeros=zeros(*found.models, single(found.claims.batch, found.lengths[0])),
        params=_pair(parameters, found.models),
        trained=found.trained,
        flops=_flops(found),
        bytes=_pair(bytes, found.models),
        vocabulary=found.vocabulary,
        latency_ms=tuple(found.times.taken),
        untimed=found.times.untimed,
        exports=tuple(found.exports),
        equivalence=schema.Equivalence(**found.equivalence),
        kept=found.plan.kept(),
        seconds=schema.Seconds(**found.seconds),
        peak_memory_bytes=found.peak,
        seed=recipe.seed,
        versions=versions(),
        hardware=dict(hardware()),
        **extra,
    )


def task_name(spec: Settings) -> str:
    """What a recipe's task is called."""
    what = spec.get("subset") or spec.get("data")
    return f"{spec['name']} {what}" if isinstance(what, str) else spec["name"]


def _quality(dense: Quality, pruned: Quality, baselines: dict[str, float]) -> schema.Quality:
    return schema.Quality(
        metric=pruned.metric,
        dense=dense.value,
        pruned=pruned.value,
        stderr=pruned.stderr,
        margin=difference(pruned, dense).margin,
        n=pruned.n,
        agreement=agreement(dense, pruned),
        baselines=dict(baselines),
        signature=pruned.signature,
    )


def _histories(found: list[History]) -> tuple[schema.History, ...]:
    """The trainings that were looked at."""
    return tuple(schema.History.model_validate(asdict(own)) for own in found if own.points)


def _metrics(dense: Quality, pruned: Quality) -> dict[str, dict[str, float]]:
    return {
        name: {"dense": dense.extra[name], "pruned": pruned.extra[name]} for name in pruned.extra
    }


def _flops(found: Findings) -> schema.Flops:
    mean, longest = found.lengths
    if longest is None:
        return schema.Flops.model_validate({**found.claims.pair(mean, found.plan), "per": "image"})
    padded = found.claims.pair(longest, found.plan)
    return schema.Flops.model_validate(
        {
            **found.claims.pair(mean, found.plan),
            "length": mean,
            "padded": {**padded, "length": longest},
        }
    )


def _pair(count: Any, models: tuple[PreTrainedModel, PreTrainedModel]) -> schema.Pair:
    dense, pruned = map(count, models)
    return schema.Pair(dense=dense, pruned=pruned)
