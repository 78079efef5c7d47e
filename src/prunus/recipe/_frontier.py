"""How a search went, as the report holds it."""

from prunus.recipe._bracket import met
from prunus.recipe._open import DEVELOPMENT
from prunus.recipe._stage import Stage
from prunus.recipe._steps import Cut
from prunus.recipe.furthest import Probe
from prunus.report._searched import Frontier, Step
from prunus.task import Quality, difference


def frontier(stage: Stage, cut: Cut, qualities: tuple[Quality, Quality]) -> Frontier | None:
    """The densities that were tried, and what the report's own split says of the chosen one.

    Args:
        stage: the run.
        cut: what it made.
        qualities: of the dense and of the pruned model where the report measures.
    """
    most, found = stage.parts.budget.max_loss, cut.search
    if most is None or found is None:
        return None
    dense, pruned = qualities
    held = difference(pruned, dense)
    return Frontier(
        max_loss=most,
        split=DEVELOPMENT,
        n=found.dense.n,
        named=DEVELOPMENT in stage.parts.task.splits,
        dense=found.dense.value,
        steps=tuple(_step(cut, probe, most) for probe in found.probes),
        chosen=found.job.budget.density,
        held=stage.recipe.evaluation.split,
        ahead=held.value,
        margin=held.margin,
    )


def _step(cut: Cut, probe: Probe, most: float) -> Step:
    kept, cost = probe.plan.counts(), cut.job.cost
    return Step(
        density=probe.density,
        of_model=cost(kept) / cost({}),
        flops=next(iter(cut.claims.flops.values()))(kept),
        params=cut.claims.params(kept),
        quality=probe.quality.value,
        ahead=probe.ahead.value,
        margin=probe.ahead.margin,
        met=met(probe.ahead, most),
    )
