"""The pass over data that fills evidence."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunus import ranks
from prunus.edit import mask
from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.probe._ablation import ablate, require_few
from prunus.probe._curvature import curvatures, look_back
from prunus.probe._evidence import (
    ABLATION,
    ACTIVATIONS,
    BY_COLUMN,
    BY_INPUT,
    CURVATURE,
    GRADIENTS,
    Evidence,
    require_outlets,
    total,
)
from prunus.probe._outputs import OUTPUTS, look_at_outputs
from prunus.probe._tokens import flat, real_tokens
from prunus.probe._traces import TRACES, Trace
from prunus.probe._weights import effective_weights, folded
from prunus.probe.directions import Directions
from prunus.probe.loss import Batch, Loss, samples_of
from prunus.site import Site


def probe(
    model: nn.Module,
    batches: Iterable[Batch],
    sites: Mapping[str, Site],
    reads: Iterable[str],
    loss: Loss | None = None,
    directions: Directions | None = None,
) -> dict[str, Evidence]:
    """One pass over data for the statistics in ``reads``; memory does not grow with the data.

    Weights are frozen meanwhile: only masks have gradients, one a sample. Grids in weights have
    one mask a batch. Where several processes share the run, each looks at its share of the
    batches, and all know the sums.

    Args:
        model: the model to look at, evaluated as it is (masked, if it is).
        batches: mappings of keyword arguments, the same on every rank.
        sites: where to look.
        reads: names of statistics; where there are none, no pass is made.
        loss: called with the model and a batch; a sum over samples.
        directions: what curvature is taken of.

    Raises:
        PrunusError: a statistic that a site cannot give, too many units to ablate, no batches, or
            a module that they do not reach.
    """
    reads = tuple(reads)
    tensors = effective_weights(model)
    found = {
        name: Evidence(site, _weights(site, tensors), folds=folded(model, site))
        for name, site in sites.items()
    }
    if not reads or not found:
        return found
    _require(sites, reads)
    directions = directions or Directions()
    curved = curvatures(model, sites, directions.smoothing) if CURVATURE in reads else {}
    with frozen(model):
        for place, batch in ranks.own(enumerate(batches)):
            for evidence in found.values():
                evidence.samples += samples_of(batch)
            _look(model, batch, found, reads, loss)
            look_at_outputs(model, batch, found, reads, loss)
            if curved:
                directions.begin(place)
                look_back(model, batch, curved, directions)
    for evidence in found.values() if curved else ():
        evidence.curvature = curved[evidence.site.reader]
        evidence.curvature.inputs.flush()
    total(found)
    if not next(iter(found.values())).samples:
        raise PrunusError("no batches to look at: the data is empty")
    for evidence in found.values() if ACTIVATIONS.keys() & reads else ():
        _require_used(evidence)
    return found


def _weights(site: Site, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {part.tensor: tensors[part.tensor] for part in site.slices if part.tensor in tensors}


def _require(sites: Mapping[str, Site], reads: tuple[str, ...]) -> None:
    by_input = BY_INPUT.intersection(reads)
    for site in sites.values():
        lacking = by_input - BY_COLUMN if site.in_linear else by_input
        if lacking and not site.has_inlet:
            raise PrunusError(
                f"site {site.name!r} of kind {site.kind!r} is not the input of one module, which"
                f" {sorted(lacking)} need; use another criterion"
            )
    if OUTPUTS.intersection(reads):
        for site in sites.values():
            require_outlets(site)
    if ABLATION in reads:
        require_few(sites)


def _require_used(evidence: Evidence) -> None:
    if not evidence.tokens:
        raise PrunusError(
            f"site {evidence.site.name!r}: no forward pass reaches {evidence.site.reader}, so that"
            " nothing is known of its input; leave it out of the sites"
        )


def _look(
    model: nn.Module,
    batch: Batch,
    found: Mapping[str, Evidence],
    reads: tuple[str, ...],
    loss: Loss | None,
) -> None:
    if ABLATION in reads and loss is not None:
        ablate(model, batch, found, loss)
    traced = [name for name in reads if name in TRACES]
    if traced and loss is not None:
        _trace(model, batch, found, traced, loss)
    activations = [name for name in reads if name in ACTIVATIONS]
    gradients = [name for name in reads if name in GRADIENTS]
    with ExitStack() as undo:
        for evidence in found.values() if activations else ():
            reader = model.get_submodule(evidence.site.reader)
            hook = partial(_watch, evidence, batch, activations)
            undo.callback(reader.register_forward_pre_hook(hook).remove)
        if gradients and loss is not None:
            for evidence, g in _mask_gradients(model, batch, found, loss):
                for name in gradients:
                    evidence.add(name, GRADIENTS[name](g, evidence.site))
        elif activations or gradients:
            with torch.no_grad():
                model(**batch)


def _trace(
    model: nn.Module, batch: Batch, found: Mapping[str, Evidence], names: list[str], loss: Loss
) -> None:
    """Add what a batch's gradients of weights say."""
    wanted = {part.tensor for evidence in found.values() for part in evidence.site.weights}
    weights = {name: model.get_parameter(name) for name in sorted(wanted)}
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        with torch.enable_grad():
            value = loss(model, batch)
            parts = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
    gradients = dict(zip(weights, parts, strict=True))
    for evidence in found.values():
        for name in names:
            trace = Trace(evidence.site, name)
            trace.add(weights, gradients)
            if trace.value is not None:
                evidence.add(name, trace.value)


def _watch(
    evidence: Evidence, batch: Batch, names: list[str], _: nn.Module, args: tuple[Any, ...]
) -> None:
    x = args[0].detach()
    x = flat(x, real_tokens(batch, evidence.site.name, x))
    evidence.tokens += x.shape[0]
    for name in names:
        evidence.add(name, ACTIVATIONS[name](x))


def _mask_gradients(
    model: nn.Module, batch: Batch, found: Mapping[str, Evidence], loss: Loss
) -> Iterator[tuple[Evidence, Tensor]]:
    """(evidence, [sample, width]) of every site; for grids in weights one row for the batch."""
    device = next(model.parameters()).device
    places, ones = {}, {}
    for name, evidence in found.items():
        site = evidence.site
        places[name] = site.fine() if site.has_inlet else site
        rows = (samples_of(batch),) if site.removable else ()
        ones[name] = torch.ones(*rows, *places[name].shape, device=device, requires_grad=True)
    with mask(model, places, ones), torch.enable_grad():
        value = loss(model, batch)
        parts = torch.autograd.grad(value, list(ones.values()), allow_unused=True)
    for evidence, one, part in zip(found.values(), ones.values(), parts, strict=True):
        g = torch.zeros_like(one) if part is None else part
        yield evidence, g if evidence.site.removable else g.reshape(1, -1)
