"""Which of a library's modules make the best model within a budget."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from prunus.drive._job import Job
from prunus.drive._modules import Tuning
from prunus.edit._frozen import frozen
from prunus.library import Module
from prunus.probe import Teacher
from prunus.probe._apart import Listener
from prunus.probe.loss import samples_of
from prunus.recover._variant import Variant
from prunus.select import Point, best


def losses(tuning: Tuning, modules: Mapping[str, Module]) -> dict[str, float]:
    """How far the dense model's answers are, with each module alone exchanged.

    That is the divergence of :class:`prunus.probe.Teacher` at temperature 1, of a sample that was
    held out.

    Args:
        tuning: whose dense model and data.
        modules: by any name.
    """
    job, out = tuning.job, tuning.batches[1]
    teacher = Teacher(job.model, 1.0)
    variants = {name: tuning.variant(own) for name, own in modules.items()}
    sums = dict.fromkeys(modules, 0.0)
    for done, batch in enumerate(out if modules else ()):
        job.step("measure", done, len(out))
        with frozen(job.model), torch.no_grad(), job.computing():
            teacher(job.model, batch)  # learns the answers before anything is exchanged
            for name, own in variants.items():
                with _exchanged(job.model, own):
                    sums[name] += float(teacher(job.model, batch))
    samples = sum(map(samples_of, out))
    return {name: own / samples for name, own in sums.items()}


@contextmanager
def _exchanged(model: nn.Module, variant: Variant) -> Iterator[None]:
    """A sublayer gives what a variant gives, for one pass."""
    listener = Listener(model, variant.site)

    def instead(*_: Any) -> Any:
        return None if listener.call is None else variant(listener.call)

    hook = model.get_submodule(variant.site.reader).register_forward_hook(instead)
    try:
        yield
    finally:
        hook.remove()
        listener.close()


def search(job: Job, modules: Mapping[str, Module], measured: Mapping[str, float]) -> list[str]:
    """The modules whose losses sum up to the least within a job's budget; sites may stay whole.

    Args:
        job: its budget and cost.
        modules: by name; of each site those that there is a choice of.
        measured: {name: loss}.

    Returns:
        Names, at most one a site.

    Raises:
        PrunusError: even the smallest modules cost more than the budget, or see
            :func:`prunus.select.best`.
    """
    choices = {
        site.name: [Point("", site.units, 0.0)]
        + [
            Point(name, int(own.mask.sum()), measured[name])
            for name, own in modules.items()
            if own.site == site.name
        ]
        for site in job.sites.values()
    }
    with job.phase("select"):
        chosen = best(choices, job.sites, job.budget, job.cost)
    return [point.name for point in chosen.values() if point.name]
