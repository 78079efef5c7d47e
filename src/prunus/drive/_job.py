"""What a drive is given, and the steps that all drives share."""

import copy
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunus.adapt import Adaptation
from prunus.anatomy import Anatomy
from prunus.curve import Curve
from prunus.drive._composed import Composed
from prunus.drive._first import aim, level
from prunus.drive._learning import Learning
from prunus.drive._notes import Notes
from prunus.drive._readers import readers, require_together, widened
from prunus.drive._watch import Phase, Step, unseen, untimed
from prunus.edit.shrink import cut
from prunus.gram import Moments
from prunus.library import weights_hash
from prunus.plan import Plan
from prunus.probe import Evidence, March, Room, Teacher
from prunus.probe.loss import Batch, spaced
from prunus.recover import Reader, Repair, TouchUp, Trained
from prunus.registry import spelt
from prunus.safe import SafePoints
from prunus.score import Criterion, look
from prunus.select import Budget, Cost, Selector, select
from prunus.site import Site, along
from prunus.task import History
from prunus.tracking import chosen, scored, tell

Found = dict[str, Tensor | Curve]


@dataclass
class Job:
    """One pruning job.

    Attributes:
        model: the dense model, left as it is.
        sites: what may go.
        batches: calibration data, iterated as often as needed.
        criterion: what matters.
        selector: how the budget is split.
        budget: how much stays.
        cost: the budget's metric.
        repairs: what is mended, in order.
        touch_up: what trains the student as a whole when it is cut and mended.
        training: unlabelled data for that; None is the calibration data.
        learning: labelled data and a loss, for a drive that trains.
        adapt: adapters that the student learns by, wherever it is trained.
        scored: the fraction of the batches, evenly spaced, that scoring sees; repairs see all.
        precision: what forward passes compute in; statistics are summed in float64 in any case.
        room: where suspended passes' tensors wait; None is memory.
        phase: opens a timed phase by name (score, select, recover).
        step: told of progress: (what, done, of).
        keep: the folder for adapters, as they are before they are merged; None keeps none.
        safe: what was found, and outlives the process.
        student: the model that is made: cut and mended in place.
        alive: {site: [units] indices in the dense model} of what the student still has.
        evidence: what the last scoring pass saw.
        found: what the criterion made of it.
        trained: what the touch-up did.
        learnt: how many parameters drive: stepwise has trained, of what stayed.
        history: of every training of a drive, in order.
        composed: what drive: library made the student of.
        notes: of the reader that is mended.
    """

    model: Any
    sites: Anatomy
    batches: Iterable[Batch]
    criterion: Criterion
    selector: Selector
    budget: Budget
    cost: Cost
    repairs: tuple[Repair, ...] = ()
    touch_up: TouchUp | None = None
    training: Iterable[Batch] | None = None
    learning: Learning | None = None
    adapt: Adaptation | None = None
    scored: float = 1.0
    precision: torch.dtype = torch.float32
    room: Room | None = None
    phase: Phase = untimed
    step: Step = unseen
    keep: Path | None = None
    safe: SafePoints = field(default_factory=SafePoints)
    student: Any = field(init=False)
    alive: dict[str, Tensor] = field(init=False)
    evidence: dict[str, Evidence] = field(init=False, default_factory=dict)
    found: Found = field(init=False, default_factory=dict)
    teacher: Teacher = field(init=False)
    trained: Trained | None = field(init=False, default=None)
    learnt: int | None = field(init=False, default=None)
    history: list[History] = field(init=False, default_factory=list)
    composed: Composed | None = field(init=False, default=None)
    notes: Notes = field(init=False, default_factory=Notes)

    def __post_init__(self) -> None:
        """The student begins as a copy of the dense model, the teacher is the dense model.

        Raises:
            PrunusError: repairs are asked for where they cannot mend (see :meth:`readers`), curves
                of losses of a criterion that only ranks, or a selector cannot decide.
        """
        if self.selector.reads == "curve":
            self.criterion.require_curves()
        self.selector.require(self.sites, spelt(self.criterion), partial(weights_hash, self.model))
        if self.repairs:
            self.readers()
        self.student = copy.deepcopy(self.model)
        self.alive = {name: torch.arange(site.units) for name, site in self.sites.items()}
        self.teacher = self.criterion.teacher(self.model, self.batches)

    def also(self, sites: Anatomy) -> None:
        """Let plans speak of further sites."""
        self.sites |= sites
        self.alive |= {n: torch.arange(s.units) for n, s in sites.items() if n not in self.alive}
        self.reread()

    def again(self, found: Found, evidence: dict[str, Evidence], **parts: Any) -> "Job":
        """A job with other ``parts`` that begins again from what was scored in the dense model."""
        job = replace(self, **parts)
        job.found, job.evidence = found, evidence
        return job

    def computing(self) -> AbstractContextManager:
        """The context of every forward pass: reduced precision, where it is asked for."""
        device = next(self.model.parameters()).device.type.replace("meta", "cpu")
        return torch.autocast(device, self.precision, enabled=self.precision != torch.float32)

    def reread(self) -> None:
        """Look for the student's sites anew, whose tensors have changed."""
        vars(self).pop("here", None)

    def score(self, plan: Plan) -> Found:
        """What the selector reads of the sites that the plan leaves undecided, in the student."""
        here = self.here
        undecided = {name: here[name] for name in self.sites if name not in plan}
        also = [name for repair in self.repairs for name in repair.reads]
        with self.phase("score"), self.computing():
            batches = spaced(self.batches, self.scored)
            self.evidence = look(
                self.student, batches, undecided, self.criterion, self.teacher, also
            )
        with self.phase("score"):
            judge = getattr(self.criterion, self.selector.reads)
            self.found = {name: judge(evidence) for name, evidence in self.evidence.items()}
            level(self.found)
        for evidence in self.evidence.values():
            evidence.let_go()
        return self.found

    def select(self, found: Found, given: Plan) -> Plan:
        """The plan for the scored sites; under a budget of latency it is measured and corrected."""
        with self.phase("select"):
            plan = self.choose(found, given, self.budget)
        if self.cost.metric == "latency" and not given:
            with self.phase("correct"):
                missed = self.safe.once("aim", partial(aim, self, plan))
                plan = self.choose(found, given, self.budget, missed)
        tell(lambda: {**scored(found, self.sites), **chosen(plan, self.sites)})
        return plan

    def choose(self, found: Found, given: Plan, budget: Budget, aim: float = 1.0) -> Plan:
        """The plan under a budget, whose limit is multiplied by ``aim``."""
        return select(
            found, self.sites, budget, self.cost, given,
            per_cost=self.criterion.adds_up, selector=self.selector, aim=aim,
        ).agreed()  # fmt: skip

    def readers(self) -> list[Site]:
        """One site for every reader, in forward order; see :func:`prunus.drive._readers.readers`.

        Raises:
            PrunusError: a site that no single module reads, or that the repairs do not mend.
        """
        return self._readers

    @cached_property
    def _readers(self) -> list[Site]:
        return readers(self.model, self.sites, self.repairs, self.batches)

    def at(self, reader: Site) -> list[str]:
        """The sites that a reader reads."""
        return [name for name, site in self.sites.items() if site.reader == reader.reader]

    def narrow(self, plan: Plan) -> None:
        """Cut the student down to what the plan keeps, and to what repairs may choose instead."""
        masks = {}
        for reader in self.readers():
            names = self.at(reader)
            if (
                reader.has_inlet
                and len(names) == 1
                and names[0] in plan
                and self.sites[names[0]].even == 1
            ):
                masks[names[0]] = self._widened(names[0], plan[names[0]])
        self.cut(masks)

    def march(self) -> March:
        """Student and teacher side by side, to be entered.

        Raises:
            PrunusError: a repair mends sublayers apart from each other.
        """
        require_together(self.repairs)
        return March(
            self.student, self.model, self.batches, self.readers(),
            entries=any(repair.at == "entry" for repair in self.repairs),
            room=self.room, computing=self.computing,
        )  # fmt: skip

    def mend(self, march: March, reader: Site, plan: Plan) -> Plan:
        """Go to a reader, mend it under the plan, and cut what the plan removes there.

        Returns:
            The plan; repairs may have put units in the place of others.
        """
        names = self.at(reader)
        if not reader.has_inlet:
            return self._mend_weights(march, reader, plan)
        with self.phase("recover"):
            if any(repair.at == "entry" for repair in self.repairs):
                self._apply("entry", self._waiting(march.entry(reader), names, plan))
            seen = march.reader(reader)
            waiting = self._waiting(seen, names, plan)
            self._apply("reader", waiting)
            march.advance(waiting.stays)
            if waiting.alone:
                plan = plan | {names[0]: self._dense_mask(names[0], waiting.units)}
            self.cut({name: plan[name] for name in names})
        return plan

    def _mend_weights(self, march: March, site: Site, plan: Plan) -> Plan:
        with self.phase("recover"):
            evidence = self.evidence.get(site.name)
            waiting = Reader(self.student, site, plan[site.name], march.inputs(site), evidence)
            self._apply("weights", waiting)
            plan = plan | {site.name: waiting.stays}
            self.cut({site.name: plan[site.name]})
        return plan

    def cut(self, masks: Mapping[str, Tensor]) -> None:
        """Cut the student by masks on the dense grids."""
        gone = {}
        for name, mask in masks.items():
            if not self.sites[name].removable:
                gone[name] = mask
                continue
            own = mask[self.alive[name]]
            if not own.all():
                gone[name] = own
                self.alive[name] = self.alive[name][own]
        if gone:
            cut(self.student, Plan(gone), self.here)
        if any(self.sites[name].removable for name in gone):
            del self.here

    @cached_property
    def here(self) -> Anatomy:
        """The sites as the student has them now."""
        grids = {name: site for name, site in self.sites.items() if not site.removable}
        return self.sites.read(self.student) | grids

    def _waiting(self, seen: Moments, names: list[str], plan: Plan) -> Reader:
        here = self.here
        site = here[names[0]]
        width = self.student.get_parameter(site.inlet.tensor).shape[site.inlet.axis]
        stays = torch.ones(width, dtype=torch.bool)
        for name in names:
            if name in plan:
                stays &= along(here[name].inlet, plan[name][self.alive[name]], width)
        return Reader(
            self.student, site, stays, seen, self.evidence.get(names[0]),
            alone=len(names) == 1, lowest=names[0] == next(iter(self.sites)),
        )  # fmt: skip

    def _apply(self, at: str, reader: Reader) -> None:
        self.notes.mend(at, reader, [repair for repair in self.repairs if repair.at == at])

    def _dense_mask(self, name: str, units: Tensor) -> Tensor:
        """A mask on the student's units as one on the dense grid."""
        mask = torch.zeros(self.sites[name].units, dtype=torch.bool)
        mask[self.alive[name][units.cpu()]] = True
        return mask

    def _widened(self, name: str, stays: Tensor) -> Tensor:
        """A site's mask with as many units more as repairs want to choose from; never empty."""
        count, units = int(stays.sum()), len(stays)
        wanted = max(1, *(repair.pool(count, units) for repair in self.repairs))
        return widened(stays, self.found[name], wanted - count)
