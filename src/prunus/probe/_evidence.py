"""What criteria see: per site, sums over the data of activations and mask gradients."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.probe._tokens import flat, real_tokens
from prunus.probe.loss import Batch, Loss, samples_of
from prunus.site import Site


@dataclass
class Evidence:
    """What one site showed.

    Attributes:
        site: the site.
        weights: the tensors on its slices, by name.
        seen: sums over the data, by the names in :data:`STREAMS`.
        samples: how many samples were seen.
        tokens: how many real tokens were seen at this site.
    """

    site: Site
    weights: Mapping[str, Tensor]
    seen: dict[str, Tensor] = field(default_factory=dict)
    samples: int = 0
    tokens: int = 0

    def add(self, name: str, value: Tensor) -> None:
        """Add to a sum, in float64."""
        value = value.detach().double()
        self.seen[name] = self.seen[name] + value if name in self.seen else value

    @property
    def inlet(self) -> Tensor:
        """[inputs, outputs]: the reader's weight, its rows on the site's units."""
        weight = self.weights[self.site.inlet.tensor]
        return weight.movedim(self.site.inlet.axes[0], 0).flatten(1)

    def per_unit(self, dims: Tensor) -> Tensor:
        """[inputs] as [units, inputs of one unit]."""
        return dims.reshape(self.site.units, -1)


GRADIENTS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "gradient": lambda g, units: _fold(g, units).sum(0),
    "gradient_abs": lambda g, units: _fold(g, units).abs().sum(0),
    "gradient_square": lambda g, units: _fold(g, units).square().sum(0),
    "batch_gradient_square": lambda g, _: g.mean(0).square(),
}
"""Of the mask gradient g [sample, width of the reader's input], summed over batches."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"square": lambda x: x.square().sum(0)}
"""Of the reader's input x [real token, width], summed over batches."""

STREAMS = (*GRADIENTS, *ACTIVATIONS)


def probe(
    model: nn.Module,
    batches: Iterable[Batch],
    sites: Mapping[str, Site],
    reads: Iterable[str],
    loss: Loss | None = None,
) -> dict[str, Evidence]:
    """One pass over data for the statistics in ``reads``; memory does not grow with the data.

    Weights are frozen meanwhile: only masks have gradients, one a sample. Grids in weights have
    one mask a batch.

    Args:
        model: the model to look at, evaluated as it is (masked, if it is).
        batches: mappings of keyword arguments.
        sites: where to look.
        reads: names in :data:`STREAMS`; none of them: no pass is made.
        loss: called with the model and a batch; a sum over samples.

    Raises:
        PrunusError: a statistic that a site cannot give, or no batches.
    """
    tensors = dict(model.named_parameters())
    found = {
        name: Evidence(site, {p.tensor: tensors[p.tensor].detach() for p in site.slices if p.tensor in tensors})
        for name, site in sites.items()
    }
    reads = tuple(reads)
    if not reads:
        return found
    for site in sites.values():
        if site.inlet is None and any(name in ACTIVATIONS or name == BY_WIDTH for name in reads):
            raise PrunusError(f"site {site.name!r} of kind {site.kind!r} has no single reader: {reads}")
    with frozen(model):
        for count, batch in enumerate(batches):
            _look(model, batch, found, reads, loss)
            count += 1
    if not next(iter(found.values())).samples:
        raise PrunusError("no batches to look at: the data is empty")
    return found


BY_WIDTH = "batch_gradient_square"


def _look(
    model: nn.Module, batch: Batch, found: Mapping[str, Evidence], reads: tuple[str, ...], loss: Loss | None
) -> None:
    gradients = [name for name in reads if name in GRADIENTS]
    with ExitStack() as undo:
        for evidence in found.values():
            evidence.samples += samples_of(batch)
            handle = _watch(model, evidence, batch, reads)
            if handle is not None:
                undo.callback(handle.remove)
        if not gradients:
            with torch.no_grad():
                model(**batch)
            return
        places, ones = _ones(model, batch, found)
        undo.enter_context(mask(model, places, ones))
        values = list(ones.values())
        with torch.enable_grad():
            parts = torch.autograd.grad(loss(model, batch), values, allow_unused=True)
        for evidence, part, one in zip(found.values(), parts, values, strict=True):
            g = torch.zeros_like(one) if part is None else part
            g = g if evidence.site.removable else g[None]
            for name in gradients:
                shape = evidence.site.shape
                evidence.add(name, GRADIENTS[name](g.flatten(1), evidence.site.units).reshape(
                    shape if name != BY_WIDTH else -1))


def _ones(
    model: nn.Module, batch: Batch, found: Mapping[str, Evidence]
) -> tuple[dict[str, Site], dict[str, Tensor]]:
    device = next(model.parameters()).device
    places, ones = {}, {}
    for name, evidence in found.items():
        site = evidence.site
        fine = site.removable and site.inlet is not None
        places[name] = site.fine() if fine else site
        lead = (samples_of(batch),) if site.removable else ()
        ones[name] = torch.ones(*lead, *places[name].shape, device=device, requires_grad=True)
    return places, ones


def _watch(model: nn.Module, evidence: Evidence, batch: Batch, reads: tuple[str, ...]) -> Any:
    wanted = [name for name in reads if name in ACTIVATIONS]
    if not wanted:
        return None

    def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
        x = args[0].detach()
        x = flat(x, real_tokens(batch, evidence.site.name, x))
        evidence.tokens += x.shape[0]
        for name in wanted:
            evidence.add(name, ACTIVATIONS[name](x))

    return model.get_submodule(evidence.site.reader).register_forward_pre_hook(hook)


def _fold(g: Tensor, units: int) -> Tensor:
    return g.reshape(g.shape[0], units, -1).sum(-1)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter with a gradient while the block runs."""
    training = model.training
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        model.train(training)
        for parameter in trained:
            parameter.requires_grad_(True)
