"""Which counts of units the machine likes: how a model's time goes with the last few of them."""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from prunus.anatomy import Anatomy
from prunus.measure import _cached
from prunus.measure._sublayers import Step, narrowed
from prunus.measure.latency import latency
from prunus.measure.table import facts_of
from prunus.measure.target import inputs
from prunus.plan import Plan
from prunus.select._budget import At

KIND = "alignment"
STEPS = (1, 2, 4, 8, 16, 32)
WHOLE = ("heads", "queries", "sublayers", "layers", "vocab")
"""Kinds of units that are wide in themselves."""
ENOUGH = 0.01
"""A step is good enough where a larger one saves no more than this share of the time."""
PAIRS = 7
SECONDS = 0.02
"""How long a model is called in a row, at least."""


def alignment(
    model: Any, sites: Anatomy, batch: Mapping[str, Tensor], at: At, step: Step = lambda *_: None
) -> dict[str, int]:
    """Of what the counts that stay should be multiples, by kind of site, as the model runs here.

    The model is timed with its sites of a kind cut to about a half, and to up to 32 units fewer.
    What is above the straight line between both ends is the price of a count that is no multiple.
    The step is the smallest whose multiples cost at most :data:`ENOUGH` more than those of any
    other. Measurements are kept on the disk, as tables of latency are.

    Args:
        model: a model that is left as it is.
        sites: those whose units are cut.
        batch: keyword arguments of a forward pass, whose first sample is repeated.
        at: the call that is meant.
        step: told of progress: (done, of).

    Returns:
        {kind: step}; kinds whose units are wide in themselves, or whose sites are small, are not
        there.

    Raises:
        PrunusError: the model has no positions for so many tokens, or nothing can be kept.
    """
    fed = inputs(model, batch, at)
    told, found = facts_of(model, fed, at), {}
    for kind in dict.fromkeys(site.kind for site in sites.values()):
        own = sites.of(kind)
        span = _span(own)
        if kind in WHOLE or span < 2:
            continue
        facts = {**told, "sites": sorted(own), "kind": kind}
        over = _cached.recall(facts, KIND)
        if over is None:
            over = _measured(model, own, span, fed, at, step)
            _cached.keep(facts, KIND, over)
        found[kind] = step_of({int(units): price for units, price in over.items()}, span)
    return found


def step_of(over: Mapping[int, float], span: int) -> int:
    """The smallest step whose multiples cost little more than those of the best.

    Args:
        over: {units below an aligned count: what that costs beyond the straight line, relative}.
        span: units between both ends of the line.
    """
    steps = [step for step in STEPS if step <= span]
    price = {step: fmean(over[u] for u in over if u % step == 0) for step in steps}
    return next(step for step in steps if price[step] <= min(price.values()) + ENOUGH)


def _span(sites: Anatomy) -> int:
    """How many units are taken from about a half of the largest site: at most a third of it."""
    largest = max((site.run for site in sites.values() if site.removable), default=0)
    return next((step for step in reversed(STEPS) if 3 * step <= largest), 1)


def _offsets(span: int) -> Iterator[int]:
    """For every step a few of its multiples that are none of the next."""
    for step in (one for one in STEPS if one < span):
        odd = range(step, span, 2 * step)
        yield from dict.fromkeys((odd[0], odd[len(odd) // 2], odd[-1]))


def _measured(
    model: Any, sites: Anatomy, span: int, fed: Mapping[str, Tensor], at: At, step: Step
) -> dict[str, float]:
    """{units fewer: how far above the line}, both ends with 0."""
    base = _less(model, sites, span, 0)
    offsets = [*_offsets(span), span]
    ratios = {}
    for done, fewer in enumerate(offsets):
        step(done, len(offsets))
        small = _less(model, sites, span, fewer)
        taken = latency(base, small, fed, threads=at.threads, pairs=PAIRS, min_seconds=SECONDS)
        ratios[fewer] = 1 / taken.speedup
    step(len(offsets), len(offsets))
    slope = (ratios[span] - 1) / span
    return {"0": 0.0} | {str(n): ratio / (1 + slope * n) - 1 for n, ratio in ratios.items()}


def _less(model: Any, sites: Anatomy, span: int, fewer: int) -> Any:
    """The model whose large sites have an aligned count of units, less a few."""
    masks = {}
    for name, site in sites.items():
        if site.removable and site.run >= 3 * span:
            units = max(2, site.run // (2 * span)) * span - fewer
            masks[name] = (torch.arange(site.run) < units).repeat(site.units // site.run)
    return narrowed(model, sites, Plan(masks))
