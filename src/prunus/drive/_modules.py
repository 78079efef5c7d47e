"""The distinct modules of a library, and how they are tuned apart from each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from prunus.curve import Curve
from prunus.drive._job import Found, Job
from prunus.drive._kept import known
from prunus.errors import PrunusError
from prunus.gram import Moments
from prunus.library import Key, Module, data_hash, weights_hash
from prunus.plan import Plan
from prunus.probe._apart import Calls, passes
from prunus.probe.loss import Batch
from prunus.recover import Repair
from prunus.recover._variant import Variant
from prunus.recover.modulewise import Look, Modulewise, held_out
from prunus.registry import spelt
from prunus.select import Budget, masks, units
from prunus.select.greedy import Greedy
from prunus.site import Site


@dataclass(frozen=True)
class Wanted:
    """A site under a mask.

    Attributes:
        site: its name.
        mask: [*grid] bool.
    """

    site: str
    mask: Tensor

    @property
    def kept(self) -> int:
        """Units that stay."""
        return int(self.mask.sum())

    @property
    def density(self) -> float:
        """The fraction of the units that stays."""
        return self.kept / self.mask.numel()

    def __str__(self) -> str:
        """Site and units; masks of a site are nested, so that their number tells which."""
        return f"{self.site} {self.kept} of {self.mask.numel()}"


def wanted(job: Job, densities: Iterable[float]) -> dict[float, dict[str, Wanted]]:
    """{density: {site: the best of its units}}, by what the criterion makes of the dense model.

    Every site keeps so many of its units, rounded down; some must stay in any case, unless the
    density is 0. Sites that keep all of them are left out.
    """
    known(job)
    return {density: _best(job, job.found, density) for density in dict.fromkeys(densities)}


def _best(job: Job, found: Found, density: float) -> dict[str, Wanted]:
    ranks = {name: ranks_of(own, job.sites[name]) for name, own in found.items()}
    best = {name: _mask(ranks[name], site, density) for name, site in job.sites.items()}
    return {name: Wanted(name, mask) for name, mask in best.items() if not mask.all()}


def ranks_of(found: Tensor | Curve, site: Site) -> Tensor:
    """[*grid] what a criterion made of a site, as scores."""
    return found.scores.reshape(site.shape) if isinstance(found, Curve) else found


def _mask(ranks: Tensor, site: Site, density: float) -> Tensor:
    """[*grid] bool: the best of a site's units, one of a run at the least; none at density 0."""
    if site.run == 1:
        return torch.ones(site.shape, dtype=torch.bool)
    return best_of(ranks, site, max(density, 1 / site.run) if density or site.least else 0.0)


def best_of(ranks: Tensor, site: Site, density: float, round_to: int = 1) -> Tensor:
    """The best of a site's units, as many as a density allows.

    Args:
        ranks: [*grid] scores.
        site: the site.
        density: the fraction that stays, rounded down.
        round_to: counts that stay are multiples of it, see :class:`prunus.select.Budget`.

    Returns:
        [*grid] bool.

    Raises:
        PrunusError: more of them must stay.
    """
    if density == 0 and site.least == 0:
        return torch.zeros(site.shape, dtype=torch.bool)
    own = {site.name: site}
    budget = Budget(density=density, metric="units", round_to=round_to)
    chosen = masks(
        {site.name: ranks}, own, budget, units(own), Plan(), per_cost=False, selector=Greedy()
    )
    return chosen[site.name].cpu()


@dataclass
class Tuning:
    """How a job's modules are tuned, whichever are asked for.

    Attributes:
        job: its dense model, data and repairs; those in closed form come first, in their order.
        held: the fraction of the batches that no module learns from.
    """

    job: Job
    held: float

    @cached_property
    def batches(self) -> tuple[list[Batch], list[Batch]]:
        """Those to learn from, and those held out, evenly spaced.

        Raises:
            PrunusError: there are too few for both.
        """
        every = list(self.job.batches)
        count = max(1, round(self.held * len(every)))
        out = {(2 * place + 1) * len(every) // (2 * count) for place in range(count)}
        if len(every) <= count:
            raise PrunusError(
                f"drive: library holds {count} of {len(every)} batches out; give it more data, or"
                " smaller batches (calibration.samples, calibration.batch_size)"
            )
        parts = [[], []]
        for place, batch in enumerate(every):
            parts[place in out].append(batch)
        return parts[0], parts[1]

    def keys(self, modules: Mapping[str, Wanted]) -> dict[str, Key]:
        """What each of some modules depends on."""
        return {
            name: Key.of(*self._hashes, self.job.sites[own.site], own.mask, self._objective)
            for name, own in modules.items()
        }

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        """Of the dense model and of the data."""
        return weights_hash(self.job.model), data_hash(self.job.batches)

    @property
    def _objective(self) -> dict[str, Any]:
        """How modules are tuned; by what they were scored counts where a repair asks for it."""
        job = self.job
        asked = any(repair.reads for repair in job.repairs)
        return {
            "repairs": list(map(spelt, job.repairs)),
            "held": self.held,
            "precision": str(job.precision),
            "scored": {"by": spelt(job.criterion), "of": job.scored} if asked else None,
        }

    def tune(self, modules: Mapping[str, Wanted], model: str) -> Iterator[tuple[str, Module]]:
        """Tune modules, all in one pass over the data at a time.

        Args:
            modules: by any name.
            model: what the dense model is called.
        """
        with self.job.phase("tune"):
            seen = self._moments({own.site for own in modules.values()})
            mended = {name: own for name, own in modules.items() if own.site in seen}
            pruned = self._errors({name: self._variant(own) for name, own in mended.items()})
            variants = {name: self._variant(own, seen) for name, own in modules.items()}
            looks = self._looks(variants)
        for name, own in variants.items():
            site, errors = own.site, [look.validation for look in looks[name]]
            figures = {
                "model": model,
                "pruned": pruned.get(name, errors[0]),
                "closed": errors[0] if name in pruned else None,
                "tuned": min(errors),
                "history": [asdict(look) for look in looks[name]] if self._trained else [],
            }
            density, tensors = modules[name].density, own.tensors()
            yield name, Module(site.name, site.kind, density, own.mask, tensors, figures)

    def passes(
        self, variants: Iterable[Variant], order: Sequence[int] | None = None
    ) -> Iterator[tuple[Batch, Calls]]:
        """Passes of the dense model, heard at the sites of some variants.

        Args:
            variants: whose sites.
            order: of the batches to learn from; None are those held out.
        """
        learnt, out = self.batches
        sites = {own.site.name: own.site for own in variants}
        batches = out if order is None else [learnt[place] for place in order]
        return passes(self.job.model, sites.values(), batches, self.job.computing)

    def _errors(self, variants: Mapping[str, Variant]) -> dict[str, float]:
        """{variant: relative error} on what was held out."""
        if not variants:
            return {}
        return held_out(variants, self.passes(variants.values()), self.job.computing)

    def variant(self, module: Module) -> Variant:
        """A tuned module, ready to run."""
        own = self._variant(Wanted(module.site, module.mask))
        own.write(module.tensors)
        return own

    def _variant(self, own: Wanted, seen: Mapping[str, Moments] | None = None) -> Variant:
        job, site = self.job, self.job.sites[own.site]
        return Variant(
            job.model, job.sites, site, own.mask,
            repairs=_mending(job.repairs, site),
            seen=(seen or {}).get(own.site), evidence=job.evidence.get(own.site),
        )  # fmt: skip

    def _moments(self, names: Iterable[str]) -> dict[str, Moments]:
        """Of the readers' inputs and outputs, where something is mended by them."""
        job = self.job
        sites = {name: job.sites[name] for name in names if _mending(job.repairs, job.sites[name])}
        found: dict[str, Moments] = {}
        if not sites:
            return found
        for _, calls in passes(job.model, sites.values(), self.batches[0], job.computing):
            for name, call in calls.items():
                x, y = call.flat(call.x), call.flat(call.y)
                y = y if sites[name].has_inlet else y[:, :0]
                if name not in found:
                    found[name] = Moments.zeros(x.shape[-1], y.shape[-1], x.device)
                found[name].add(x, y)
        return {name: own.flush() for name, own in found.items()}

    def _looks(self, variants: Mapping[str, Variant]) -> dict[str, list[Look]]:
        """Errors of variants as they are, and as they are trained, where they are."""
        if self._trained is None:
            return {name: [Look(0, None, own)] for name, own in self._errors(variants).items()}
        return self._trained.tune(
            variants,
            lambda order: self.passes(variants.values(), order),
            len(self.batches[0]), self.job.computing,
            lambda done, of: self.job.step("tune", done, of),
            self.job.safe,
        )  # fmt: skip

    @property
    def _trained(self) -> Modulewise | None:
        """What trains modules, if anything does."""
        return next((own for own in self.job.repairs if isinstance(own, Modulewise)), None)


def _mending(repairs: Iterable[Repair], site: Site) -> list[Repair]:
    """The repairs in closed form that mend a site."""
    at = "reader" if site.has_inlet else "weights"
    return [repair for repair in repairs if repair.at == at]


def write(model: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors into a model's parameters of their names."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            model.get_parameter(name).copy_(tensor)
