"""What a dense model's answers lose when units of one site alone go."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from prunus import ranks
from prunus.drive._job import Job
from prunus.drive._kept import known
from prunus.drive._modules import Wanted, best_of, ranks_of
from prunus.edit import mask
from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.probe import Teacher
from prunus.probe.loss import Batch
from prunus.select import Budget
from prunus.select._pool import extent
from prunus.site import Site


@dataclass
class Alone:
    """A scored job whose sites are cut one at a time, everything else dense.

    Attributes:
        job: its dense model, sites, scores and ``round_to``.
        batches: what losses are measured on; scores should not have seen it.
    """

    job: Job
    batches: Sequence[Batch]

    def ladders(self, densities: Iterable[float]) -> dict[str, dict[float, Wanted]]:
        """{site: {density: which units stay}}, the highest first, without those that keep all."""
        job = self.job
        known(job)
        falling = sorted(set(densities), reverse=True)
        ranks = {name: ranks_of(job.found[name], site) for name, site in job.sites.items()}
        steps = {
            name: {d: self._best(ranks[name], site, d) for d in falling}
            for name, site in job.sites.items()
        }
        return {
            name: {d: Wanted(name, stays) for d, stays in own.items() if not stays.all()}
            for name, own in steps.items()
        }

    def _best(self, ranks: Tensor, site: Site, density: float) -> Tensor:
        """[*grid] bool: the best units, no fewer than must stay."""
        step = self.job.budget.step(site.kind)
        least, _ = extent(site, Budget(density=1, round_to=step), None)
        return best_of(ranks, site, max(density, least / site.units), step)

    def loss(self, own: Wanted, batches: Iterable[Batch] | None = None) -> tuple[float, float]:
        """Divergence from the dense model's answers, at temperature 1, of a sample on average.

        Args:
            own: the site, and what stays of it.
            batches: instead of all.

        Returns:
            The mean, and its standard error.

        Raises:
            PrunusError: the answers are not finite.
        """
        asked = ranks.own(enumerate(self.batches if batches is None else batches))
        each = torch.cat(ranks.collected(dict(self._each(own, asked))))
        if not each.isfinite().all():
            raise PrunusError(
                f"site {own.site!r} with {own.kept} of {own.mask.numel()} units: the model's"
                " answers are not finite; is the model or the data broken?"
            )
        error = float(each.std()) / len(each) ** 0.5 if len(each) > 1 else 0.0
        return float(each.mean()), error

    def _each(
        self, own: Wanted, batches: Iterable[tuple[int, Batch]]
    ) -> Iterator[tuple[int, Tensor]]:
        job = self.job
        for place, batch in batches:
            with frozen(job.model), torch.no_grad(), job.computing():
                self._teacher.answer(batch)  # before anything is masked
                with mask(job.model, job.sites, {own.site: own.mask}):
                    yield place, self._teacher.each(job.model, batch).double().cpu()

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher(self.job.model, 1.0, self.batches)
