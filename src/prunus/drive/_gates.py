"""Masks in the forward passes of a network that learns, where its weights shall not become zero."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prunus import ranks
from prunus.adapt import adapted
from prunus.drive._course import Course
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.score._learned import Learned
from prunus.site import Site

SCORES = "mask_scores"
"""The child of the model that holds the scores while they are learnt."""


@dataclass
class Lesson:
    """Sites whose scores one criterion learns, and the strength of its penalty now.

    Attributes:
        criterion: which learns.
        sites: by name.
        bounded: a budget sets how much stays.
        strength: of the penalty.
    """

    criterion: Learned
    sites: tuple[str, ...]
    bounded: bool
    strength: float


class Gates:
    """The masks of sites that are learnt, and of every site of a network with adapters.

    Values are made anew at the beginning of every forward pass, with the gradients of learned
    scores. The scores are parameters of the model until the gates are closed.

    Attributes:
        sites: those with gates.
        scores: {site: [*grid]} parameters, of sites that are learnt.
        stays: {site: [*grid]} bool: what is chosen now; who changes it need say nothing.
    """

    def __init__(self, model: nn.Module, courses: Sequence[Course]) -> None:
        """Open gates, at first for all units.

        Args:
            model: any torch module.
            courses: what goes when.
        """
        every = bool(adapted(model))
        chosen = [course for course in courses if every or course.criterion.learned]
        self.sites: dict[str, Site] = {n: s for course in chosen for n, s in course.sites.items()}
        self.stays = {n: torch.ones(s.shape, dtype=torch.bool) for n, s in self.sites.items()}
        self.scores: dict[str, nn.Parameter] = {}
        self.lessons: dict[int, Lesson] = {}
        self._criteria: dict[str, Learned] = {}
        for place, course in enumerate(courses):
            if isinstance(course.criterion, Learned):
                self._begin(place, course, course.criterion, model)
        ranks.spread(self.scores.values())
        self._values: dict[str, Tensor] = {}
        self._draws: dict[str, Tensor] = {}
        self._asked = True
        self._open = ExitStack()
        if self.sites:
            self._put_into(model)

    def groups(self) -> list[dict[str, Any]]:
        """The scores as parameter groups of an optimizer."""
        return [
            {
                "params": [self.scores[name] for name in lesson.sites],
                "lr": lesson.criterion.learning_rate,
                "weight_decay": 0.0,
            }
            for lesson in self.lessons.values()
        ]

    def join(self, optimizer: Optimizer) -> None:
        """Let an optimizer learn the scores that it does not know."""
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for group in self.groups():
            group["params"] = [own for own in group["params"] if id(own) not in known]
            if group["params"]:
                optimizer.add_param_group(group)

    def penalty(self) -> Tensor:
        """[] what is added to the loss of every batch."""
        self._asked = True
        terms = [
            lesson.strength * lesson.criterion.amount(self.scores[name]) / len(lesson.sites)
            for lesson in self.lessons.values()
            for name in lesson.sites
        ]
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def press(self, place: int, progress: float, density: float) -> None:
        """Set the strength of a course's penalty; it rests where no more than the density stays."""
        if place in self.lessons:
            lesson = self.lessons[place]
            met = lesson.bounded and self._density(lesson) <= density
            lesson.strength = 0.0 if met else lesson.criterion.strength(progress, lesson.bounded)

    def _density(self, lesson: Lesson) -> float:
        """The fraction of units whose masks are not 0."""
        with torch.no_grad():
            values = [self._value(name, training=False) for name in lesson.sites]
        return sum(int(v.count_nonzero()) for v in values) / sum(v.numel() for v in values)

    def require_asked(self) -> None:
        """Check, once a step, that the penalty is part of the loss.

        Raises:
            PrunusError: there is one, and nobody asked for it since the last step.
        """
        if not self._asked and any(lesson.strength for lesson in self.lessons.values()):
            raise PrunusError(
                "penalty: nobody added it to the loss; in a loop of your own:"
                " (loss + pruner.penalty()).backward()"
            )
        self._asked = False

    def values(self, training: bool = False) -> dict[str, Tensor]:
        """{site: [*grid]} what units are multiplied by, in a pass that trains or does not."""
        return {name: self._value(name, training) for name in self.sites}

    def close(self) -> dict[str, Tensor]:
        """Take the masks out of the forward pass; the values that they end with."""
        self._open.close()
        found = {name: value.detach() for name, value in self.values().items()}
        return {n: v.bool() if ((v == 0) | (v == 1)).all() else v for n, v in found.items()}

    def _begin(self, place: int, course: Course, criterion: Learned, model: nn.Module) -> None:
        for name, site in course.sites.items():
            device = model.get_parameter(site.slices[0].tensor).device
            self.scores[name] = nn.Parameter(criterion.start(site.shape).to(device))
            self._criteria[name] = criterion
        bounded = course.budget.density < 1
        self.lessons[place] = Lesson(
            criterion, tuple(course.sites), bounded, criterion.strength(0.0, bounded)
        )

    def _put_into(self, model: nn.Module) -> None:
        if self.scores:
            model.register_module(SCORES, nn.ParameterList(self.scores.values()))
            self._open.callback(delattr, model, SCORES)
        self._refresh(model)
        self.step()  # the first step draws for itself
        self._open.callback(model.register_forward_pre_hook(self._refresh).remove)
        self._open.enter_context(mask(model, self.sites, self._values))

    def _refresh(self, model: nn.Module, *_: Any) -> None:
        self._values |= self.values(model.training)

    def _value(self, name: str, training: bool) -> Tensor:
        scores = self.scores.get(name)
        if scores is None:
            return self.stays[name].float()
        drawn = training and self._criteria[name].drawn
        draw = self._drawn(name, scores) if drawn else None
        return self._criteria[name].value(scores, self.stays[name].to(scores), draw)

    def _drawn(self, name: str, scores: Tensor) -> Tensor:
        """[*grid] the draw of this step, which all of its passes and processes share."""
        if name not in self._draws:
            self._draws[name] = torch.rand_like(scores)
            ranks.spread([self._draws[name]])
        return self._draws[name]

    def step(self) -> None:
        """A step is over: the next one draws anew."""
        self._draws.clear()

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """(key, scores), by which a later training goes on."""
        return ((f"scores/{name}", own.detach()) for name, own in self.scores.items())
