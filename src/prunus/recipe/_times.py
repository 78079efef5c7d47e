"""The times of a run: dense and pruned in turns, in every runtime that the recipe names."""

from dataclasses import dataclass, field
from functools import partial

from prunus.recipe._measured import aimed, latencies
from prunus.recipe._settings import EAGER
from prunus.recipe._settings import Latency as Asked
from prunus.recipe._stage import Stage
from prunus.recipe._steps import Cut, Opened
from prunus.report._schema import Latency
from prunus.safe import Kept


@dataclass(frozen=True)
class Times:
    """What was timed.

    Attributes:
        taken: paired measurements, those of a runtime together.
        untimed: for every runtime that could not run the models, why.
    """

    taken: list[Latency] = field(default_factory=list)
    untimed: dict[str, str] = field(default_factory=dict)


def time_all(stage: Stage, opened: Opened, cut: Cut) -> Times:
    """Paired latencies, as the recipe asks for them.

    The call that a budget of latency speaks of is timed as that counts, by eager torch.
    """
    found, settings = Times(), stage.recipe.latency
    if settings is None:
        return found
    meant = [EAGER] * (cut.job.budget.at is not None)
    with stage.phase("latency"):
        for runtime in dict.fromkeys((*settings.runtime, *meant)):
            try:
                taken = partial(_times, stage, opened, cut, settings, runtime)
                found.taken.extend(stage.safe.once(f"latency {runtime}", taken, _pack, _unpack))
            except Exception as error:  # as of exports: nothing costs the pruned model
                found.untimed[runtime] = stage.fault(runtime, error)
    return found


def _times(stage: Stage, opened: Opened, cut: Cut, settings: Asked, runtime: str) -> list[Latency]:
    models, at = (opened.whole, cut.model), cut.job.budget.at
    length = settings.length or opened.lengths[1]
    own = at if runtime == EAGER else None
    meant = None if own is None else (own.batch, own.length, own.threads)
    sizes = settings.batch if runtime in settings.runtime else ()
    others = [size for size in sizes if (size, length, settings.threads) != meant]
    usual = settings.model_copy(update={"batch": others})
    found = list(latencies(models, opened.probe, usual, length, stage.bars, runtime=runtime))
    if own is not None:
        cost, pairs = cut.job.cost, settings.pairs
        found.append(aimed(models, opened.probe, own, pairs, cost, cut.plan, stage.bars))
    return found


def _pack(found: list[Latency]) -> Kept:
    return Kept([own.model_dump(mode="json") for own in found])


def _unpack(kept: Kept) -> list[Latency]:
    return list(map(Latency.model_validate, kept.said))
