"""From what a pruner was told to prunus' own, which prunes while an optimizer steps."""

from collections.abc import Sequence
from math import ceil, floor
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from prunus.compat._config import PrunerConfig
from prunus.compat._layers import sites_of
from prunus.drive._course import Course
from prunus.drive._pruner import Pruner
from prunus.errors import PrunusError
from prunus.measure.density import as_neural_compressor, densities
from prunus.probe import Evidence
from prunus.registry import build
from prunus.score import Criterion
from prunus.score.magnitude import Magnitude
from prunus.select import Budget, units
from prunus.site import Site, reduce

SLACK = 1e-9


class Pruning:
    """The pruners of a configuration at work, each with layers and a schedule of its own.

    A layer that two pruners take is pruned by both.

    Attributes:
        model: what is pruned.
        pruners: in the order of the configuration.
    """

    def __init__(
        self, model: nn.Module, configs: Sequence[PrunerConfig], optimizer: Optimizer
    ) -> None:
        """Hook the optimizer.

        Raises:
            PrunusError: a pruner takes no layer, cannot reach its target, or its criterion cannot
                be followed.
        """
        self.model = model
        found = [course(model, config) for config in configs]
        self.pruners = [
            Pruner(
                model, optimizer, [one], config.end_step,
                regrow=not config.locked, lock=config.locked, **config.extras,
            )
            for one, config in zip(found, configs, strict=True)
        ]  # fmt: skip

    @property
    def sparsity(self) -> float:
        """What went, as neural-compressor counts: see :func:`as_neural_compressor`."""
        return as_neural_compressor(densities(self.model))

    def detach(self) -> None:
        """Take the hooks off; what went stays away.

        Raises:
            PrunusError: the training ended before the pruning did.
        """
        for pruner in self.pruners:
            pruner.detach()


def course(model: nn.Module, config: PrunerConfig) -> Course:
    """What a pruner was told, in prunus' words.

    Raises:
        PrunusError: it takes no layer, its target cannot be reached, or its criterion reads
            gradients of which there are none.
    """
    sites = sites_of(model, config)
    schedule = build("schedule", config.schedule)
    if config.only_locked:
        return Course(sites, Magnitude(), schedule, Budget(density=1, metric="units"), units(sites))
    if config.end_step == 0 and config.criterion != "magnitude":
        raise PrunusError(
            f"pruning_type {config.pruning_type}: before the first step there are no gradients to"
            " read; set end_step above 0"
        )
    budget = budget_of(config)
    for names in [[name] for name in sites] if budget.scope == "local" else [list(sites)]:
        _require_reach([sites[name] for name in names], budget)
    return Course(sites, _criterion(config), schedule, budget, units(sites))


def budget_of(config: PrunerConfig) -> Budget:
    """How much stays, in blocks: one minus what goes."""
    return Budget(
        density=1 - config.target,
        metric="units",
        scope=config.pruning_scope,
        floor=1 - config.most,
        ceiling=1 - config.min_sparsity_ratio_per_op,
    )


class Sizes(Magnitude):
    """The mean, the sum or the greatest of a block's |w|.

    Attributes:
        by: which of them.
    """

    per_cost: ClassVar[bool] = False
    by: Literal["mean", "sum", "max"] = "mean"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] the score of every block."""
        site = evidence.site
        if self.by == "max":
            part = site.slices[0]
            return reduce(part, evidence.weights[part.tensor].abs(), site.shape, "max")
        found = super().score(evidence)
        return found / evidence.size if self.by == "mean" else found


def _criterion(config: PrunerConfig) -> Criterion:
    by = "mean" if config.tiling is None else config.criterion_reduce_type
    if config.criterion == "magnitude":
        return Sizes(by=by)
    if config.criterion == "block_mask":  # the gradient of a block's own mask: a sum
        by = "sum"
    return build("score", {"name": config.criterion, "reduce": by})


def _require_reach(sites: Sequence[Site], budget: Budget) -> None:
    """The blocks that must stay in each layer are no more than those that may."""
    least = sum(ceil(budget.floor * site.units - SLACK) for site in sites)
    may = floor(budget.density * sum(site.units for site in sites) + SLACK)
    if least > may:
        raise PrunusError(
            f"target_sparsity {1 - budget.density:g} is beyond {sites[0].name!r}"
            f"{' and such' if len(sites) > 1 else ''} ({sites[0].units} units): {may} would stay,"
            f" but max_sparsity_ratio_per_op {1 - budget.floor:g} keeps {least}: raise it, lower"
            " the target, or choose a finer pattern"
        )
