"""What a recipe would do, without scoring: its sites, and what its budget means."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel

from prunus import tracking
from prunus.anatomy import anatomy, known
from prunus.checkpoint import outline
from prunus.drive import Drive, Job, cost_of, job_of
from prunus.drive._course import courses
from prunus.drive._readers import readers
from prunus.drive.gradual import Gradual
from prunus.drive.library import Library
from prunus.drive.oneshot import Oneshot
from prunus.drive.stepwise import Stepwise
from prunus.library import weights_hash
from prunus.measure.size import around
from prunus.plan import Plan
from prunus.probe._tokens import mean_length
from prunus.recipe._exports import require
from prunus.recipe._learning import learning
from prunus.recipe._model import Recipe
from prunus.recipe._open import (
    data_of,
    folder_of,
    measures,
    open_model,
    processor_of,
    require_checkpoint,
    searches,
)
from prunus.recipe._parts import Parts, parts
from prunus.recipe._trim import trim
from prunus.recipe.furthest import densities
from prunus.recover import parted
from prunus.registry import spelt
from prunus.report._schema import Pair
from prunus.schedule import Times
from prunus.score.random import Random
from prunus.select import Budget, Cost
from prunus.select.measured import Measured
from prunus.task._network import hushed

METRICS = ("units", "params", "flops")


@dataclass(frozen=True)
class Amount:
    """One metric: of the whole model, of the sites, and under the budget.

    Attributes:
        metric: units, weights, params, flops of one sample of the data's mean length, or bytes of
            the saved weights, at most.
        whole: of the dense model.
        sites: of what can be cut.
        stays: of the whole model, when units chosen by chance fill the budget, or a configuration.
    """

    metric: str
    whole: int
    sites: int
    stays: int


@dataclass(frozen=True)
class Timetable:
    """A training that prunes.

    Attributes:
        steps: of the optimizer.
        epoch: of the optimizer, in an epoch.
        times: when masks are chosen, for every schedule.
    """

    steps: int
    epoch: int
    times: tuple[Times, ...]


@dataclass(frozen=True)
class Preview:
    """What a recipe would do.

    Attributes:
        budget: the budget.
        density: what it comes to; under a bounded loss the lowest that a search would try.
        sites: {site: units}.
        rules: for each rule of the budget, how many sites it matches.
        amounts: in every metric.
        length: tokens of the data's mean sample; None where it has none.
        samples: how many calibration samples there are.
        vocabulary: how many tokens there are and how many stay, where some go; all else is said
            of the model without them.
        training: where the drive trains.
        spared: the head's modules, where grids leave it whole.
        fixed: {module: why its outputs always stay}, where channels were traced.
        pick: which configuration says what stays, where one does instead of the budget.
        steps: {kind of site: of what the counts that stay are multiples}, where that is above 1.
    """

    budget: Budget
    density: float
    sites: dict[str, int]
    rules: dict[str, int]
    amounts: list[Amount]
    length: int | None
    samples: int
    vocabulary: Pair | None
    training: Timetable | None
    spared: list[str]
    fixed: dict[str, str]
    pick: int | None
    steps: dict[str, int]


def check(recipe: Recipe) -> Preview:
    """Open what a recipe names and fill its budget by chance; weights only where they are needed.

    Raises:
        PrunusError: as :func:`prunus.recipe.run.run` would, but for what scoring would find.
    """
    chosen, data = parts(recipe), recipe.calibration
    require(chosen, recipe.latency)
    tracking.require(recipe.track)
    source, model = _opened(recipe, chosen)
    processor = processor_of(chosen.task, source)
    prepared = data_of(recipe, chosen, model, processor, searches(chosen))
    vocabulary = None
    if recipe.vocab is not None:
        found = trim(recipe.vocab, model, prepared, recipe.evaluation.split)
        model, prepared, vocabulary = found.model, found.prepared, found.told.tokens
    sites = anatomy(model).chosen(recipe.sites)
    if not measures(chosen.select):
        chosen.select.require(sites, spelt(chosen.score), partial(weights_hash, model))
    batches = prepared.batches(data.split, data.batch_size, data.samples, data.order)
    length = mean_length(batches)
    chance = Random(seed=recipe.seed)
    job = job_of(model, sites, batches, score=chance, budget=chosen.budget, recover=())
    job.learning = learning(recipe, chosen, model, prepared)
    training = _training(job, chosen)
    if not job.budget.known:
        job.budget = job.budget.settled(densities(job)[0])
    plan = _plan(job, chosen.drive)
    repairs, _ = parted(chosen.recover)
    if repairs or not isinstance(chosen.drive, Oneshot | Gradual | Stepwise):
        readers(model, sites, repairs, batches)  # raises where one cannot mend, or a drive not stop
    costs = [
        job.cost if metric == job.cost.metric else cost_of(model, sites, metric, batches[0], length)
        for metric in _metrics(job)
    ]
    ruled = chosen.budget.assign(sites).values()
    kinds = dict.fromkeys(site.kind for site in sites.values())
    return Preview(
        budget=chosen.budget,
        density=job.budget.density,
        sites={name: site.units for name, site in sites.items()},
        rules={rule.match: sum(one is rule for one in ruled) for rule in chosen.budget.rules},
        amounts=_amounts(costs, plan, model),
        length=length,
        samples=len(batches.order),
        vocabulary=vocabulary,
        training=training,
        spared=sites.spared,
        fixed=sites.fixed,
        pick=_pick(chosen.drive),
        steps={kind: step for kind in kinds if (step := job.budget.step(kind)) > 1},
    )


def _opened(recipe: Recipe, chosen: Parts) -> tuple[Path, PreTrainedModel]:
    """The model's folder and the model, without weights unless something computes with them.

    A training tries its loss, times are measured, a table of measurements is of these weights, and
    what is known of a network that was traced is tried out.
    """
    computes = (
        recipe.trains
        or chosen.budget.metric == "latency"
        or chosen.budget.round_to == "auto"
        or (isinstance(chosen.select, Measured) and not measures(chosen.select))
    )
    if not computes:
        source = folder_of(recipe.model, weights=False)
        require_checkpoint(source)
        with hushed():
            model = outline(source)
        if known(model):
            return source, model
    source = folder_of(recipe.model)
    return source, open_model(source)


def _plan(job: Job, drive: Drive) -> Plan:
    """What stays: in a configuration so many units of each site, else whatever the budget allows.

    Raises:
        PrunusError: the drive cannot prune these sites so.
    """
    if isinstance(drive, Library):
        drive.require(job)
        if drive.configurations is not None:
            return drive.plan(job)
    return Oneshot().run(job)


def _pick(drive: Drive) -> int | None:
    if isinstance(drive, Library) and drive.configurations is not None:
        return drive.pick
    return None


def _metrics(job: Job) -> Iterable[str]:
    """All metrics; weights that sites may share are counted where the budget counts them."""
    return (*METRICS, *["weights"] * (job.cost.metric == "weights"))


def _training(job: Job, chosen: Parts) -> Timetable | None:
    """The training, whose loss is tried on the student."""
    if job.learning is None:
        return None
    job.learning.check(job.student)
    if not isinstance(chosen.drive, Gradual):
        return None
    steps, epoch = job.learning.steps
    found = courses(job.sites, chosen.score, chosen.drive.schedule, job.budget, job.cost)
    times = (course.schedule.times(steps, epoch) for course in found)
    return Timetable(steps, epoch, tuple(dict.fromkeys(times)))


def _amounts(costs: Iterable[Cost], plan: Plan, model: PreTrainedModel) -> list[Amount]:
    """In every metric, and in bytes, which parameters and all that is saved beside them take."""
    found = {cost.metric: _amount(cost, plan) for cost in costs}
    whole, sites, stays = (
        getattr(found["params"], word) * model.dtype.itemsize
        for word in ("whole", "sites", "stays")
    )
    rest = around(model)
    return [*found.values(), Amount("bytes", whole + rest, sites, stays + rest)]


def _amount(cost: Cost, plan: Plan) -> Amount:
    kept = plan.counts()
    whole = cost({})
    return Amount(cost.metric, whole, whole - cost(dict.fromkeys(kept, 0)), cost(kept))
