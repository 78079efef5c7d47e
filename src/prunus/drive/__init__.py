"""When things happen, and the one call that does it all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from prunus import edit, ranks
from prunus.adapt import Adaptation
from prunus.anatomy import Anatomy, anatomy
from prunus.checkpoint import adopt
from prunus.drive._aligned import aligned
from prunus.drive._drive import Drive
from prunus.drive._job import Job
from prunus.drive._kept import known, pack
from prunus.drive._kept import unpack as restore
from prunus.drive._learning import Learning
from prunus.drive._sized import sized
from prunus.drive._touch_up import touch_up
from prunus.drive._watch import Phase, Step, unseen, untimed
from prunus.errors import PrunusError
from prunus.library import data_hash, weights_hash
from prunus.measure.table import Table, table
from prunus.plan import Plan
from prunus.probe import Room
from prunus.probe._tokens import mean_length
from prunus.probe.loss import Batch
from prunus.probe.work import single, work
from prunus.recover import TouchUp, parted
from prunus.registry import Part, build, parse
from prunus.safe import Kept
from prunus.select import Budget, Cost, flops, params, units, weights
from prunus.select._budget import At
from prunus.tiling import Grid

__all__ = [
    "Drive",
    "Job",
    "Learning",
    "Phase",
    "Step",
    "cost_of",
    "finish",
    "job_of",
    "known",
    "pack",
    "prune",
    "remove_dead",
    "shrink",
    "sized",
    "unpack",
]

Spec = str | Mapping[str, Any] | Part
Sites = str | Mapping[str, Any] | Grid
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def untold(_: PreTrainedModel) -> None:
    """A model that nobody looks at."""


def prune(
    model: PreTrainedModel,
    batches: Iterable[Batch],
    density: float = 0.5,
    *,
    sites: Sites | Sequence[Sites] = ("heads", "neurons"),
    score: Spec = "obs",
    budget: Budget | Mapping[str, Any] | None = None,
    select: Spec = "curves",
    drive: Spec = "oneshot",
    recover: Sequence[Spec] = ("input_map", "least_squares"),
    training: Iterable[Batch] | None = None,
    adapt: Spec | None = None,
    scored: float = 1.0,
    precision: Literal["float32", "bfloat16"] = "float32",
    memory: int = 1024,
) -> PreTrainedModel:
    """A smaller copy of a model, pruned without retraining; weights in grids become zero.

    Args:
        model: an in-memory transformers model of a known family; it is left as it is.
        batches: calibration data, mappings of keyword arguments of the model (labels only where
            the criterion asks for them). A list, or anything that can be iterated again and again;
            where several processes share the call, each is given all of it.
        density: fraction of the cost that stays, 0 < density <= 1.
        sites: kinds of sites: heads, queries, neurons, sublayers, layers, channels; or grids of
            weights, ``{"grid": "2:4", "match": ".*query"}``, which are set to zero.
        score: a criterion's name, or a mapping with ``name`` and settings.
        budget: the whole budget instead of ``density`` (whose metric is FLOPs); a ``max_loss``
            needs a task, and so :mod:`prunus.recipe`.
        select: how the budget is split: curves, greedy, knapsack or threshold.
        drive: oneshot, sweep or iterative.
        recover: repairs, in order; ``finetune`` may come last.
        training: unlabelled data for ``finetune``; None is ``batches``.
        adapt: adapters that ``finetune`` trains, and merges: lora, splora or sppara, or a mapping
            with ``name`` and settings; None trains the weights.
        scored: the fraction of the batches, evenly spaced, that scoring sees; repairs see all.
        precision: what forward passes compute in.
        memory: MiB of activations that may wait in memory while repairs go through the model; the
            rest waits in temporary files.

    Returns:
        A new model: ``save_pretrained`` writes it, ``from_pretrained`` opens it.

    Raises:
        PrunusError: an unknown family, site, criterion, drive or repair; a budget that cannot be
            met; no data.
    """
    settings = {"density": density} if budget is None else budget
    batches = _lasting(batches)
    job = job_of(
        model, anatomy(model, _shown(model, batches)).chosen(sites), batches,
        score=score, budget=settings, select=select, recover=recover, training=training,
        adapt=adapt, scored=scored, precision=precision, room=Room(memory * 2**20),
    )  # fmt: skip
    job.budget.require_known()
    return finish(job, build("drive", drive).run(job))


def job_of(
    model: PreTrainedModel,
    sites: Anatomy,
    batches: Iterable[Batch],
    *,
    score: Spec,
    budget: Budget | Mapping[str, Any],
    recover: Sequence[Spec],
    select: Spec = "greedy",
    training: Iterable[Batch] | None = None,
    learning: Learning | None = None,
    adapt: Spec | None = None,
    scored: float = 1.0,
    precision: Literal["float32", "bfloat16"] = "float32",
    room: Room | None = None,
    phase: Phase = untimed,
    step: Step = unseen,
) -> Job:
    """A job from names and settings (see :func:`prune`, and :class:`Job` for the last two)."""
    _require_scorable(sites)
    edit.prove(model, sites)
    batches = _lasting(batches)
    first = next(iter(batches), None)
    if first is None:
        raise PrunusError("no batches: the calibration data is empty")
    _require_same(model, batches)
    parsed = budget if isinstance(budget, Budget) else parse(Budget, "budget", budget)
    length = mean_length(batches)
    parsed = aligned(sized(parsed, model, sites), model, sites, first, length, step)
    cost = cost_of(model, sites, parsed.metric, first, length, parsed.at)
    repairs, last = parted(build("recover", spec) for spec in recover)
    if training is not None and last is None:
        raise PrunusError("there is training data, but nothing in recover trains; add finetune")
    part: Adaptation | None = None if adapt is None else build("adapt", adapt)
    _require_trained(part, last, learning)
    return Job(
        model, sites, batches, build("score", score), build("select", select), parsed, cost,
        repairs, last, None if training is None else _lasting(training), learning, part,
        scored=scored, precision=PRECISIONS[precision], room=room, phase=phase, step=step,
    )  # fmt: skip


def _require_same(model: PreTrainedModel, batches: Iterable[Batch]) -> None:
    """Check that all processes of a run were given the same, which each takes its share of."""
    if ranks.world() > 1:
        ranks.agree("the model", weights_hash(model).encode())
        ranks.agree("the calibration data", data_hash(batches).encode())


def _require_scorable(sites: Anatomy) -> None:
    for site in sites.values():
        if site.kind == "vocab":
            raise PrunusError(
                f"site {site.name!r}: which tokens stay is for texts to say, not for scores; use"
                " prunus.trim_vocabulary(model, tokenizer, texts), or `vocab: seen` in a recipe"
            )


def _shown(model: PreTrainedModel, batches: Iterable[Batch]) -> Batch | None:
    """What a network is traced with that is no model of transformers."""
    return None if hasattr(model, "config") else next(iter(batches), None)


def _require_trained(
    part: Adaptation | None, last: TouchUp | None, learning: Learning | None
) -> None:
    """Check that adapters are trained by something, and what trains can have them."""
    if part is not None and last is None and learning is None:
        raise PrunusError("adapt: nothing trains the adapters; add finetune to recover")
    if last is not None:
        last.adaptation(part)


def _lasting(batches: Iterable[Batch]) -> Iterable[Batch]:
    """Batches that can be gone through again and again."""
    return list(batches) if iter(batches) is batches else batches


def cost_of(
    model: Any,
    sites: Anatomy,
    metric: str,
    batch: Batch,
    length: int | None,
    at: At | None = None,
) -> Cost:
    """The cost function of a metric.

    FLOPs are those of one sample of ``length`` tokens; latency is that of the call ``at``, by a
    table that is measured on this machine unless it is known.
    """
    if metric == "latency" and at is not None:
        return _timed(model, batch, at).cost(sites.read(model), sites)
    if metric == "units":
        return units(sites)
    if metric == "weights":
        return weights(sites)
    if metric == "params":
        return params(sites)
    return flops(sites, work(model, single(batch, length)))


def _timed(model: Any, batch: Batch, at: At) -> Table:
    """The table of a model on the first rank's device."""
    own = ranks.by_first(lambda: table(model, batch, at))
    told = ranks.shared(own.model_dump_json().encode() if own else b"")
    return own or Table.model_validate_json(told)


def shrink(model: PreTrainedModel, plan: Plan, sites: Anatomy | None = None) -> PreTrainedModel:
    """:func:`prunus.edit.shrink`, and the new model has a class that saves and reloads."""
    return adopt(edit.shrink(model, plan, sites))


def remove_dead(model: PreTrainedModel, batch: Batch | None = None) -> PreTrainedModel:
    """:func:`prunus.edit.remove_dead`, and the new model has a class that saves and reloads."""
    return adopt(edit.remove_dead(model, batch))


def unpack(job: Job, kept: Kept) -> tuple[Plan, PreTrainedModel]:
    """The plan and the finished model of a job that were packed; see :func:`finish`."""
    plan = restore(job, kept)
    return plan, adopt(job.student)


def finish(
    job: Job, plan: Plan, before: Callable[[PreTrainedModel], None] = untold
) -> PreTrainedModel:
    """Shrink a job's student by a plan, give it a class that saves and reloads, touch it up.

    Args:
        job: one whose drive has run.
        plan: what the drive decided.
        before: is shown the shrunk model before a touch-up trains it, if one does.
    """
    trained = {name: tensor.requires_grad for name, tensor in job.model.named_parameters()}
    for name, tensor in job.student.named_parameters():
        tensor.requires_grad_(trained[name])
    job.cut(plan)
    model = adopt(job.student)
    if job.touch_up is not None:
        before(model)
        job.trained = touch_up(job, job.touch_up)
    return model
