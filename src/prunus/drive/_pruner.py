"""Pruning inside of anybody's training: a pair of hooks on the optimizer."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from prunus.drive._course import Course
from prunus.edit import Held
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.plan import Plan
from prunus.probe import Evidence, Trace
from prunus.schedule import Times
from prunus.score import Criterion
from prunus.site import reduce


class Pruner:
    """Prunes a model while an optimizer trains it.

    Before each step of the optimizer the criteria look at weights and gradients. After it, masks
    are chosen anew when that is due, and what they remove is zero: weights, what the optimizer
    remembers of them, and from then on their gradients. Steps are the optimizer's, however many
    batches make one.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        courses: Sequence[Course],
        steps: int,
        epoch: int | None = None,
        *,
        regrow: bool = False,
        lock: bool = False,
    ) -> None:
        """Hook the optimizer.

        Args:
            model: it is trained and masked in place.
            optimizer: it may be wrapped, as accelerate does.
            courses: what goes when.
            steps: of the optimizer, in the whole training.
            epoch: of the optimizer, in an epoch.
            regrow: let removed weights come back where their scores rise again.
            lock: units whose weights are zero already stay removed.

        Raises:
            PrunusError: the optimizer trains none of these weights, or the training is too short.
        """
        self.model, self.courses, self.steps = model, tuple(courses), steps
        self.optimizer = _inner(optimizer)
        self.times = [course.schedule.times(steps, epoch) for course in courses]
        for course, times in zip(courses, self.times, strict=True):
            _require_seen(course, times)
        self.sites = {name: site for course in courses for name, site in course.sites.items()}
        self.regrow, self.done = regrow, 0
        self.held = Held(model, self.sites, gradients=not regrow)
        self._require_trained()
        self.traces = [course.traces() for course in courses]
        self.masks = {name: self._whole(name, lock) for name in self.sites}
        self._hooks = [
            self.optimizer.register_step_pre_hook(self._before),
            self.optimizer.register_step_post_hook(self._after),
        ]
        self._apply()
        self._choose()

    @property
    def plan(self) -> Plan:
        """What stays now."""
        return Plan(self.masks)

    def detach(self) -> Plan:
        """Take the hooks off; what is removed stays zero.

        Raises:
            PrunusError: the training ended before the pruning did.
        """
        for hook in self._hooks:
            hook.remove()
        self.held.let_go()
        late = max(times.last_due for times in self.times)
        if self.done < late:
            raise PrunusError(
                f"the training ended after {self.done} steps, but pruning goes on until step"
                f" {late}: train longer, or say fewer `steps`"
            )
        return self.plan

    def state_dict(self) -> dict[str, Tensor]:
        """All that a later training needs to go on from here, by ``mask/SITE``, ``trace/SITE``."""
        state = {f"mask/{name}": mask for name, mask in self.masks.items()}
        values = {f"trace/{name}": trace.value for name, trace in self._traces()}
        traces = {key: value for key, value in values.items() if value is not None}
        return {"done": torch.tensor(self.done), **state, **traces}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where another pruner of the same model and sites was.

        Raises:
            PrunusError: it had other sites.
        """
        theirs = {key.removeprefix("mask/") for key in state if key.startswith("mask/")}
        if theirs != self.sites.keys():
            other = sorted(theirs ^ self.sites.keys())[0]
            raise PrunusError(f"the saved state is of another pruning: only one has site {other!r}")
        self.done = int(state["done"])
        for name, mask in self.masks.items():
            self.masks[name] = state[f"mask/{name}"].to(mask.device)
        for name, trace in self._traces():
            value = state.get(f"trace/{name}")
            trace.value = None if value is None else value.to(self.masks[name].device).clone()
        self._apply()

    def save(self, path: str | Path) -> None:
        """:meth:`state_dict` as a safetensors file."""
        state = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        write_bytes(Path(path), save(state))

    def load(self, path: str | Path) -> None:
        """:meth:`load_state_dict` from a file.

        Raises:
            PrunusError: there is none, or it is another pruning's.
        """
        if not Path(path).is_file():
            raise PrunusError(f"{path}: there is no state of a pruning to go on from")
        self.load_state_dict(load_file(path))

    def _before(self, *_: Any) -> None:
        """Look at weights and gradients before a step."""
        weights = self.held.parameters
        gradients = {name: weight.grad for name, weight in weights.items()}
        for traces, times in zip(self.traces, self.times, strict=True):
            for trace in traces.values() if self.done < times.last_due else ():
                if trace.keep or times.due(self.done + 1):
                    trace.add(weights, gradients)

    def _after(self, *_: Any) -> None:
        """Count a step; choose masks where that is due; what is removed is zero."""
        self.done += 1
        self._choose()
        self.held.zero()

    def _choose(self) -> None:
        """Choose the masks of all courses that are due."""
        changed = False
        for course, times, traces in zip(self.courses, self.times, self.traces, strict=True):
            way = times.way(self.done)
            if way and times.due(self.done):
                density = course.schedule.density(way, course.budget.density)
                self._narrow(course, density, traces)
                changed = True
        if changed:
            self._apply()

    def _narrow(self, course: Course, density: float, traces: Mapping[str, Trace]) -> None:
        scores = {n: self._score(course.criterion, n, traces.get(n)) for n in course.sites}
        for name, mask in course.choose(scores, density).items():
            own = mask.to(self.masks[name].device)
            self.masks[name] = own if self.regrow else own & self.masks[name]

    def _score(self, criterion: Criterion, name: str, trace: Trace | None) -> Tensor:
        """[*grid] scores; what is gone is below what is not."""
        site, parameters = self.sites[name], self.held.parameters
        names = [part.tensor for part in site.slices if part.tensor in parameters]
        evidence = Evidence(site, {n: parameters[n].detach() for n in names})
        if trace is not None and trace.value is not None:
            evidence.seen[trace.name] = trace.value
        scores = criterion.score(evidence)
        alive = self.masks[name].to(scores.device)
        if self.regrow or alive.all():
            return scores
        return torch.where(alive, scores, scores.min() - 1)

    def _traces(self) -> Iterator[tuple[str, Trace]]:
        return (item for traces in self.traces for item in traces.items())

    def _apply(self) -> None:
        """Hold what the masks remove."""
        self.held.set(self.masks)
        self.held.zero()
        self.held.forget(self.optimizer)

    def _whole(self, name: str, lock: bool) -> Tensor:
        """A mask under which all stays, or all that is not zero."""
        site, parameters = self.sites[name], self.held.parameters
        device = parameters[site.weights[0].tensor].device
        if not lock:
            return torch.ones(site.shape, dtype=torch.bool, device=device)
        sizes = [
            reduce(part, parameters[part.tensor].detach().abs(), site.shape)
            for part in site.weights
        ]  # fmt: skip
        return torch.stack(sizes).sum(0) > 0

    def _require_trained(self) -> None:
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        if not any(id(parameter) in trained for parameter in self.held.parameters.values()):
            raise PrunusError(
                "the optimizer trains none of the weights that shall go; give it the parameters of"
                " this model (the pruner is made after the optimizer)"
            )


def _require_seen(course: Course, times: Times) -> None:
    if times.last_due == 0 and course.traces():
        raise PrunusError(
            f"score: {type(course.criterion).__name__} reads gradients, of which there are none"
            " before the first step: give the schedule a warmup, or use magnitude"
        )


def _inner(optimizer: Any) -> Optimizer:
    """The optimizer itself, which wrappers such as accelerate's hold."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, Optimizer):
        raise PrunusError(f"{type(optimizer).__name__} is no optimizer of torch")
    return optimizer
