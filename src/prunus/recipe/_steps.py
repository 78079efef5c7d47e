"""The steps of a run, in the order of their use."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from prunus.anatomy import Anatomy, anatomy
from prunus.checkpoint import packable, save
from prunus.drive import Job
from prunus.edit import mask, shrink
from prunus.errors import PrunusError
from prunus.measure.size import bytes
from prunus.plan import Plan
from prunus.probe._tokens import mean_length
from prunus.probe.loss import samples_of
from prunus.recipe._fresh import answer, difference, fresh_answer
from prunus.recipe._job import job_for
from prunus.recipe._measured import Claims, Lengths
from prunus.recipe._open import DEVELOPMENT, data_of, open_model, processor_of, to
from prunus.recipe._pruned import pruned
from prunus.recipe._rivals import Rivals
from prunus.recipe._stage import Stage
from prunus.recipe._touch_up import row
from prunus.recipe._trim import trim
from prunus.recipe.compare import compare
from prunus.recipe.furthest import Furthest, furthest
from prunus.report._schema import Baseline, TouchUp, Vocabulary
from prunus.task import Prepared, Quality
from prunus.task._network import hushed
from prunus.tracking import chosen, tell

PROBES = 8
"""How many samples the outputs are compared on."""


@dataclass(frozen=True)
class Opened:
    """The dense model and its data: calibration batches, and one batch to compare outputs on.

    ``whole`` is the model with all its tokens, ``vocab`` the plan that says which of them stay.
    """

    source: Path
    model: PreTrainedModel
    processor: Any
    prepared: Prepared
    batches: list[dict[str, Tensor]]
    probe: dict[str, Tensor]
    lengths: Lengths
    whole: PreTrainedModel
    vocab: Plan = field(default_factory=Plan)
    told: Vocabulary | None = None

    @property
    def calibration(self) -> dict[str, int]:
        """How much data scores and repairs see."""
        samples = {"samples": sum(map(samples_of, self.batches))}
        masks = [batch["attention_mask"] for batch in self.batches if "attention_mask" in batch]
        return samples | ({"tokens": sum(int(mask.sum()) for mask in masks)} if masks else {})


def open_all(stage: Stage, source: Path, what: str | None = None) -> Opened:
    """Open the model and its data.

    Args:
        stage: the recipe, its parts, and where it is carried out.
        source: of the model.
        what: is measured on a development split, if anything.

    Raises:
        PrunusError: one of them is missing, or they do not fit.
    """
    recipe = stage.recipe
    with stage.phase("load"):
        model = open_model(source, recipe.device)
        processor = processor_of(stage.parts.task, source)
    with stage.phase("data"):
        prepared = data_of(recipe, stage.parts, model, processor, what)
        batches, probe = _batches(stage, prepared)
    lengths = mean_length(batches), prepared.longest(model.config)
    opened = Opened(source, model, processor, prepared, batches, probe, lengths, model)
    stage.log.info("calibration: %s, lengths %s", opened.calibration, lengths)
    return opened


def _batches(stage: Stage, prepared: Prepared) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """What is scored and mended on, and what outputs are compared on."""
    data, split, device = (
        stage.recipe.calibration,
        stage.recipe.evaluation.split,
        stage.recipe.device,
    )
    batches = to(prepared.batches(data.split, data.batch_size, data.samples, data.order), device)
    probe = to(prepared.batches(split, PROBES, PROBES), device)[0]
    return batches, prepared.inputs(probe)


def trim_all(stage: Stage, opened: Opened) -> Opened:
    """The same without the tokens that the recipe lets go; batches hold the new ids.

    Raises:
        PrunusError: see :func:`prunus.recipe._trim.trim`.
    """
    settings = stage.recipe.vocab
    if settings is None:
        return opened
    with stage.phase("vocabulary"):
        found = trim(settings, opened.model, opened.prepared, stage.recipe.evaluation.split)
        batches, probe = _batches(stage, found.prepared)
    stage.log.info("vocabulary: %s", found.told)
    return replace(
        opened, model=found.model, processor=found.tokenizer, prepared=found.prepared,
        batches=batches, probe=probe, vocab=found.plan, told=found.told,
    )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """A finished job, its shrunk model, and what the dense and the shrunk model answer.

    ``apart`` is how far the same plan as a mask is from the plan as a cut, before any repair;
    ``before`` is the quality before the touch-up, if there is one; ``search`` is how the density
    was found, where it had to be.
    """

    job: Job
    plan: Plan
    model: PreTrainedModel
    claims: Claims
    apart: float
    dense: Tensor
    shrunk: Tensor
    before: Quality | None = None
    search: Furthest | None = None


def prune(stage: Stage, opened: Opened) -> Cut:
    """Score, select, recover, shrink, in the order of the recipe's drive.

    Raises:
        PrunusError: the model lacks a site, the budget cannot be met, or the plan's claims are not
            what is counted on the shrunk model.
    """
    job = job_for(stage, opened.model, opened.prepared, opened.batches)
    search, before = _search(stage, opened, job), None
    if search is None:
        plan, small, before = pruned(stage, opened.prepared, job)
    else:
        job, plan, small = search.job, search.plan, search.model
    plan = Plan(plan, stage.recipe.model)
    stage.bars.clear()
    stage.log.info("%r", plan)
    tell(partial(chosen, plan, job.sites))
    every = anatomy(opened.whole).of("vocab") | job.sites if opened.vocab else job.sites
    claims = Claims(opened.whole, every, opened.batches[0], opened.lengths)
    claims.check(small, plan | opened.vocab)
    apart = _masked_vs_shrunk(opened, job.sites, plan)
    dense, shrunk = (answer(model, opened.probe) for model in (opened.model, small))
    return Cut(job, plan, small, claims, apart, dense, shrunk, before, search)


def _search(stage: Stage, opened: Opened, job: Job) -> Furthest | None:
    """The most pruned model under a bounded loss, where the budget asks for it."""
    most = stage.parts.budget.max_loss
    if most is None:
        return None

    def evaluate(model: PreTrainedModel, which: str) -> Quality:
        return stage.evaluate(model, opened.prepared, which, DEVELOPMENT)

    return furthest(job, stage.parts.drive, evaluate, most)


def _masked_vs_shrunk(opened: Opened, sites: Anatomy, plan: Plan) -> float:
    """How far the dense model under the plan's mask is from the dense model cut by the plan."""
    with mask(opened.model, sites, plan):
        masked = answer(opened.model, opened.probe)
    return difference(masked, answer(shrink(opened.model, plan, sites), opened.probe))


def save_all(stage: Stage, opened: Opened, cut: Cut) -> float:
    """Save, and tell how far the answers of the saved model are from those of the shrunk one.

    Raises:
        PrunusError: at all.
    """
    with stage.phase("save"), hushed():
        save(
            cut.model, stage.folder / "model", opened.processor,
            portable=stage.recipe.portable, packed=_packs(stage, cut.model), around=opened.source,
        )  # fmt: skip
        (cut.plan | opened.vocab).save(stage.folder / "plan.safetensors")
    _require_small(stage)
    with stage.phase("reload"):
        again = fresh_answer(stage.folder / "model", opened.probe, stage.recipe.device)
    if not again.equal(cut.shrunk):
        raise PrunusError(
            "the saved model, opened in a fresh process, answers"
            f" {difference(again, cut.shrunk):.1e} away from the shrunk one: this is a fault of"
            " prunus; please report it with the recipe"
        )
    return difference(again, cut.shrunk)


def _packs(stage: Stage, model: PreTrainedModel) -> bool:
    """Whether to pack: a run that was asked to, and has nothing to pack, does not fail over it."""
    found = stage.recipe.packed and packable(model)
    if found != stage.recipe.packed:
        stage.log.warning("packed: no weight holds zeros whose place could be saved")
    return found


def _require_small(stage: Stage) -> None:
    asked, folder = stage.parts.budget.max_bytes, stage.folder / "model"
    if asked is not None and bytes(folder) > asked:
        raise PrunusError(
            f"max_bytes: {asked:,} were asked for, but the saved weights take {bytes(folder):,}:"
            " this is a fault of prunus; please report it with the recipe"
        )


def baselines(stage: Stage, prepared: Prepared) -> dict[str, float]:
    """What needs no network, in percent; nothing where it is not asked for or cannot be learnt."""
    settings = stage.recipe.evaluation
    if not settings.baselines or settings.split != "validation" or "train" not in prepared.splits:
        return {}
    with stage.phase("baselines"):
        return stage.safe.once("baselines", prepared.baselines)


def touched_up(stage: Stage, cut: Cut, after: Quality) -> TouchUp | None:
    """What the touch-up gave back, if there was one."""
    if cut.before is None or cut.job.trained is None:
        return None
    found = row(stage, cut.job, cut.before, after)
    stage.log.info("touch-up: %s", found)
    return found


def compare_all(stage: Stage, opened: Opened, cut: Cut, after: Quality) -> list[Baseline]:
    """What could have been done instead, as the recipe asks for it."""
    recipe = stage.recipe
    if not recipe.compare:
        return []
    rivals = Rivals(cut.job, cut.plan, stage.parts.drive, recipe.seed)
    found = []
    with stage.phase("compare"):
        for rival in compare(
            recipe.compare, rivals, opened.prepared, after, evaluation=recipe.evaluation,
            latency=recipe.latency, length=opened.lengths[1], bars=stage.bars, safe=stage.safe,
        ):  # fmt: skip
            stage.log.info("%s: %s, pruned ahead by %s", rival.name, rival.quality, rival.ahead)
            found.append(rival)
    stage.bars.clear()
    return found
