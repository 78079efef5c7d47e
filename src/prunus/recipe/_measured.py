"""Sizes, FLOPs and latency of the dense and the pruned model, as the report holds them."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prunus.drive import cost_of
from prunus.errors import PrunusError
from prunus.measure import latency as timing
from prunus.measure.size import parameters
from prunus.measure.wasted import wasted
from prunus.plan import Plan
from prunus.probe.work import flops, single
from prunus.recipe._bars import Bars
from prunus.recipe._runtimes import Models, ready
from prunus.recipe._settings import EAGER, SPARSE, Latency
from prunus.report import _schema as schema
from prunus.select import Cost
from prunus.select._budget import At

Batch = Mapping[str, Tensor]
Lengths = tuple[int | None, int | None]


class Claims:
    """What a plan says it costs; made before the cut, compared after it."""

    def __init__(self, model: Any, sites: Any, batch: Batch, lengths: Lengths) -> None:
        """Count the dense model's work on one sample of each of ``lengths`` tokens.

        What reads no tokens has the length None.
        """
        self.batch = batch
        self.params = cost_of(model, sites, "params", batch, None)
        self.flops = {n: cost_of(model, sites, "flops", batch, n) for n in lengths}

    def check(self, small: PreTrainedModel, plan: Plan) -> None:
        """Compare the claims with what is counted on the shrunk model.

        Raises:
            PrunusError: they are not equal, which no input can bring about.
        """
        kept = plan.counts()
        claimed = {"parameters": self.params(kept)}
        counted = {"parameters": parameters(small)}
        for length, cost in self.flops.items():
            what = "FLOPs" if length is None else f"FLOPs at {length} tokens"
            claimed[what], counted[what] = cost(kept), flops(small, single(self.batch, length))
        if claimed != counted:
            raise PrunusError(
                f"the plan claims {claimed}, but the shrunk model has {counted}: this is a fault of"
                " prunus; please report it with the recipe"
            )

    def pair(self, length: int | None, plan: Plan) -> dict[str, int]:
        """FLOPs of one sample of ``length`` tokens, dense and pruned."""
        kept = plan.counts()
        return {"dense": self.flops[length]({}), "pruned": self.flops[length](kept)}


def density(cost: Cost, plan: Plan) -> schema.Density:
    """What a plan keeps in a metric: of what can be cut, and of the whole model."""
    kept = plan.counts()
    bare, stays, full = cost(dict.fromkeys(kept, 0)), cost(kept), cost({})
    return schema.Density(
        metric=cost.metric, of_sites=(stays - bare) / (full - bare), of_model=stays / full
    )


def latencies(
    models: Models,
    batch: Batch,
    settings: Latency,
    length: int | None,
    bars: Bars,
    ideal: float | None = None,
    runtime: str = EAGER,
) -> Iterator[schema.Latency]:
    """One paired measurement for each batch size, on like samples of ``length`` tokens, if any.

    ``ideal`` is the ratio of the models' FLOPs; None counts them.

    Raises:
        PrunusError: as :func:`prunus.recipe._runtimes.paired`.
    """
    sample = single(batch, length)
    if ideal is None:
        dense, pruned = work(models, sample, runtime)
        ideal = dense / pruned
    with ready(runtime, models, sample, settings.threads) as opened:
        for size in settings.batch:
            taken = timed(
                opened, sample, size, threads=settings.threads, pairs=settings.pairs,
                step=partial(bars.step, f"time batches of {size}, {runtime}"),
            )  # fmt: skip
            yield schema.Latency(**taken, runtime=runtime, batch=size, length=length, ideal=ideal)


def work(models: Models, sample: Batch, runtime: str) -> tuple[int, int]:
    """FLOPs of the dense and the pruned model; only sparse kernels pass over zeros."""
    dense, pruned = (flops(model, sample) for model in models)
    return dense, pruned - (wasted(models[1], sample).zeros if runtime == SPARSE else 0)


def timed(
    models: tuple[nn.Module, nn.Module], sample: Batch, size: int, **how: Any
) -> dict[str, Any]:
    """Both models on a sample repeated ``size`` times: what the schema's latency has of it.

    ``how`` is passed on to :func:`prunus.measure.latency.latency`.
    """
    inputs = {name: torch.cat([tensor] * size) for name, tensor in sample.items()}
    taken = timing.latency(*models, inputs, **how)
    return {**vars(taken), "wall": vars(taken.wall)}


def aimed(
    models: Models, batch: Batch, at: At, pairs: int, cost: Cost, plan: Plan, bars: Bars
) -> schema.Latency:
    """The call that a budget of latency speaks of, measured, beside what its cost predicts."""
    settings = Latency(batch=(at.batch,), threads=at.threads, pairs=pairs)
    taken = next(latencies(models, batch, settings, at.length, bars))
    told = schema.Predicted(dense=cost({}) / 1e6, pruned=cost(plan.counts()) / 1e6)
    return taken.model_copy(update={"predicted": told})
