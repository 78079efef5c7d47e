"""What could have been done instead of pruning so: simpler models, made by the same engine."""

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from prunus.anatomy import anatomy
from prunus.curve import Curve
from prunus.drive import Drive, Job, cost_of, finish
from prunus.drive._job import Found, untimed
from prunus.drive.oneshot import Oneshot
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.probe import Evidence
from prunus.probe._tokens import mean_length
from prunus.recipe._formats import bfloat16, int8
from prunus.safe import SafePoints
from prunus.score.random import Random
from prunus.select import Budget, Cost, select
from prunus.select.greedy import Greedy

STEPS = 1000
"""How finely densities are tried."""

ROUNDING = Fraction(5, 1000)
"""How much more than the pruned model's FLOPs still counts as equal: a plan ends up to a unit below
its budget, which must not cost a rival a whole layer."""


@dataclass(frozen=True)
class Rival:
    """A model, and how it was made; ``pruned`` says whether anything was taken away."""

    model: PreTrainedModel
    made: str
    pruned: bool = True


@dataclass
class Rivals:
    """Makes rivals of a plan.

    Attributes:
        job: the job that found the plan.
        plan: what it keeps; its FLOPs are what narrower and shallower models may take, but for
            :data:`ROUNDING`.
        drive: the job's drive; rivals are mended as it does.
        seed: of what is drawn.
    """

    job: Job
    plan: Plan
    drive: Drive
    seed: int = 0

    def make(self, name: str) -> Rival:
        """One rival.

        Args:
            name: random, narrower, shallower, bfloat16 or int8.

        Raises:
            PrunusError: it cannot be made of this model, sites or budget.
        """
        makers: dict[str, Callable[[], Rival]] = {
            "random": self._random,
            "narrower": self._narrower,
            "shallower": self._shallower,
            "bfloat16": lambda: Rival(bfloat16(self.job.model), "the dense model", False),
            "int8": lambda: Rival(
                int8(self.job.model), "the dense model, its linear layers quantized", False
            ),
        }
        return makers[name]()

    @cached_property
    def scored(self) -> tuple[Found, dict[str, Evidence]]:
        """What the criterion found in the dense model, looked at again where the drive went on."""
        job = self.job
        if job.evidence.keys() != job.sites.keys():
            job = replace(job, phase=untimed, safe=SafePoints())
            job.score(Plan())
        return job.found, job.evidence

    @cached_property
    def flops(self) -> Cost:
        """FLOPs of one sample of the data's mean length."""
        job = self.job
        first, length = next(iter(job.batches)), mean_length(job.batches)
        return cost_of(job.model, job.sites, "flops", first, length)

    def _random(self) -> Rival:
        chance = Random(seed=self.seed)
        found: Found = {name: chance.scores(seen) for name, seen in self.scored[1].items()}
        job = self._like(found, criterion=chance, selector=Greedy())
        model = self._mended(job, job.select(found, Plan()))
        return Rival(model, f"units drawn by chance, {self._repairs}")

    def _narrower(self) -> Rival:
        if any(site.units == 1 for site in self.job.sites.values()):
            raise PrunusError("the recipe's sites are single units, which cannot be narrower")
        found, _ = self.scored

        def uniform(step: int) -> Plan:
            budget = Budget(density=step / STEPS, scope="local")
            return select(found, self.job.sites, budget, self.flops, selector=Greedy())

        step = bisect_left(range(1, STEPS + 1), True, key=lambda s: not self._fits(uniform(s)))
        if not step:
            raise PrunusError("no narrower model has as few FLOPs")
        model = self._mended(self._like(found), uniform(step))
        made = f"{100 * step / STEPS:.1f} % of the units of every site, by the same scores"
        return Rival(model, f"{made}, {self._repairs}")

    def _shallower(self) -> Rival:
        layers, gone = self._layers(), list[str]()
        for layer in (order := self._order(layers)):
            if self._fits(self._without(layers, gone)):
                break
            gone.append(layer)
        for layer in reversed(gone):
            fewer = [name for name in gone if name != layer]
            gone = fewer if self._fits(self._without(layers, fewer)) else gone
        plan = self._without(layers, gone)
        if len(gone) == len(order) or not self._fits(plan):
            raise PrunusError("even a single layer takes more FLOPs than the pruned model")
        model = self._mended(self._like(self.scored[0]), plan)
        names = _told([layer for layer in layers if layer in gone])
        which = "the least by the same scores" if self.job.criterion.adds_up else "the last"
        return Rival(model, f"without {names}: {which}; {self._repairs}")

    def _layers(self) -> dict[str, list[str]]:
        """The sites of every layer that can go.

        Raises:
            PrunusError: the job's sites do not make up layers.
        """
        kinds = {site.kind for site in self.job.sites.values()}
        if not (kinds >= {"heads", "neurons"} or kinds & {"sublayers", "layers"}):
            raise PrunusError(f"sites of {', '.join(sorted(kinds))} do not make up whole layers")
        known = anatomy(self.job.model).of("layers")
        paths = [name.removesuffix(":layers") for name in known]
        sites = self.job.sites
        return {p: [n for n in sites if re.match(rf"{re.escape(p)}[.:]", n)] for p in paths}

    def _order(self, layers: dict[str, list[str]]) -> list[str]:
        """The layers in the order of going: the least loss for its FLOPs first, or from the top."""
        found, _ = self.scored
        if not self.job.criterion.adds_up:
            return list(reversed(layers))

        def worth(layer: str) -> float:
            saved = self.flops({}) - self.flops(self._without(layers, [layer]).counts())
            return sum(_loss(found[name]) for name in layers[layer]) / saved

        return sorted(layers, key=worth)

    def _without(self, layers: dict[str, list[str]], gone: list[str]) -> Plan:
        plan = Plan.dense(self.job.sites)
        return plan | {n: plan[n].logical_not() for layer in gone for n in layers[layer]}

    def _fits(self, plan: Plan) -> bool:
        return self.flops(plan.counts()) <= (1 + ROUNDING) * self.flops(self.plan.counts())

    def _like(self, found: Found, **parts: Any) -> Job:
        """A job that begins again from what was scored."""
        return self.job.again(found, self.scored[1], phase=untimed, safe=SafePoints(), **parts)

    def _mended(self, job: Job, plan: Plan) -> PreTrainedModel:
        drive = self.drive if isinstance(self.drive, Oneshot) else Oneshot()
        return finish(job, drive.recover(job, plan))

    @property
    def _repairs(self) -> str:
        parts = [*self.job.repairs, *filter(None, [self.job.touch_up])]
        names = [type(part).__module__.rpartition(".")[2] for part in parts]
        return f"mended by {', '.join(names)}" if names else "not mended"


def _loss(found: Tensor | Curve) -> float:
    """What it costs that all of a site's units go."""
    return float(found.loss[-1] if isinstance(found, Curve) else found.sum())


def _told(layers: list[str]) -> str:
    """Layers by their stacks: ``encoder.layer 1, 3 and decoder.layer 0``."""
    stacks = dict[str, list[str]]()
    for layer in layers:
        stack, _, index = layer.rpartition(".")
        stacks.setdefault(stack, []).append(index)
    return " and ".join(f"{stack} {', '.join(own)}" for stack, own in stacks.items()) or "none"
