"""Pruning inside of anybody's training: a pair of hooks on the optimizer."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from prunus.drive._course import Course
from prunus.drive._easing import Easing
from prunus.drive._optimizer import inner, overflowed, unscaled
from prunus.edit import Held, group_lasso
from prunus.edit.group_lasso import require_blocks
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.plan import Plan
from prunus.probe import Evidence, Trace
from prunus.score import Criterion
from prunus.select import Budget, masks
from prunus.select.greedy import Greedy
from prunus.site import Site, reduce


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
        progressive: int = 1,
        lasso: float = 0.0,
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
            progressive: in how many parts blocks that were chosen go, see :class:`Easing`.
            lasso: coefficient of a group lasso on blocks, while they may go.

        Raises:
            PrunusError: the optimizer trains none of these weights, or the training is too short.
        """
        self.model, self.courses, self.steps = model, tuple(courses), steps
        self.optimizer = inner(optimizer)
        self.times = [course.schedule.times(steps, epoch) for course in courses]
        self.late = max(times.last_due for times in self.times)
        self.sites: dict[str, Site] = {}
        for course, times in zip(courses, self.times, strict=True):
            course.check(model, times, self.sites)
            self.sites |= course.sites
        self.easings = [Easing(progressive, times) for times in self.times]
        for course, easing in zip(courses, self.easings, strict=True):
            if progressive > 1:
                easing.check(course.sites)
        require_blocks(self.sites if lasso else {})
        self.regrow, self.lasso, self.done = regrow, lasso, 0
        self.held = Held(model, self.sites, gradients=not regrow)
        self._require_trained()
        self.traces = [course.traces(fine=progressive > 1) for course in courses]
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
        if self.done < self.late:
            raise PrunusError(
                f"the training ended after {self.done} steps, but pruning goes on until step"
                f" {self.late}: train longer, or say fewer `steps`"
            )
        return self.plan

    def state_dict(self) -> dict[str, Tensor]:
        """What a later training needs to go on from here: ``mask/SITE``, ``trace/WHAT/SITE``."""
        state = {f"mask/{name}": mask for name, mask in self.masks.items()}
        values = {key: trace.value for key, trace in self._traces()}
        traces = {key: value for key, value in values.items() if value is not None}
        eased = {key: value for e in self.easings for key, value in e.state().items()}
        return {"done": torch.tensor(self.done), **state, **traces, **eased}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where another pruner of the same model and sites was.

        Raises:
            PrunusError: it had other sites, patterns or criteria.
        """
        self._require_ours(state)
        self.done = int(state["done"])
        for name, mask in self.masks.items():
            self.masks[name] = state[f"mask/{name}"].to(mask.device)
        for key, trace in self._traces():
            value = state.get(key)
            device = self.masks[trace.site.name].device
            trace.value = None if value is None else value.to(device).clone()
        for course, easing in zip(self.courses, self.easings, strict=True):
            easing.restore({name: self.masks[name].device for name in course.sites}, state)
        self._apply()

    def save(self, path: str | Path) -> None:
        """:meth:`state_dict` as a safetensors file."""
        state = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        write_bytes(Path(path), save(state))

    def load(self, path: str | Path) -> None:
        """:meth:`load_state_dict` from a file.

        Raises:
            PrunusError: there is none, it cannot be read, or it is another pruning's.
        """
        if not Path(path).is_file():
            raise PrunusError(f"{path}: there is no state of a pruning to go on from")
        try:
            state = load_file(path)
        except SafetensorError as error:
            raise PrunusError(f"{path}: not a readable state of a pruning ({error})") from None
        self.load_state_dict(state)

    def _before(self, *_: Any) -> None:
        """Look at weights and gradients before a step."""
        if overflowed(self.optimizer):
            return
        weights = self.held.parameters
        gradients = {name: unscaled(w.grad, self.optimizer) for name, w in weights.items()}
        for traces, times in zip(self.traces, self.times, strict=True):
            for trace in traces.values() if self.done < times.last_due else ():
                if trace.keep or times.due(self.done + 1):
                    trace.add(weights, gradients)
        if self.regrow:
            self.held.hold_gradients()

    def _after(self, *_: Any) -> None:
        """Count a step; choose masks where that is due; what is removed is zero."""
        if overflowed(self.optimizer):
            return
        self.done += 1
        if self.lasso and self.done <= self.late:
            self._draw()
        self.held.zero()  # before scores are taken: a step may have moved what is removed
        self._choose()

    def _choose(self) -> None:
        """Choose the masks of all courses that are due."""
        changed = False
        for place, (course, times) in enumerate(zip(self.courses, self.times, strict=True)):
            easing, way = self.easings[place], times.way(self.done)
            if way and times.due(self.done):
                goals = self._goals(course, course.on(way), self.traces[place])
                if easing.parts > 1 and way < 1:
                    fine = {name: self._fine(place, name) for name in goals}
                    easing.begin(course.sites, self.masks, goals, fine)
                else:
                    self.masks |= goals
            elif easing.due(self.done):
                self.masks |= easing.advance()
            else:
                continue
            changed = True
        if changed:
            self._apply()

    def _goals(
        self, course: Course, budget: Budget, traces: Mapping[str, Trace]
    ) -> dict[str, Tensor]:
        """The masks that shall hold under a budget."""
        scores = {n: self._score(course.criterion, n, traces.get(n)) for n in course.sites}
        found = masks(
            scores, course.sites, budget, course.cost, Plan(),
            per_cost=course.criterion.adds_up, selector=Greedy(),
        )  # fmt: skip
        here = {name: mask.to(self.masks[name].device) for name, mask in found.items()}
        return here if self.regrow else {n: own & self.masks[n] for n, own in here.items()}

    def _fine(self, place: int, name: str) -> Tensor:
        """What each weight of a site is worth: its trace, or its size where there is none."""
        trace = self.traces[place].get(name)
        if trace is not None and trace.fine and trace.value is not None:
            return trace.value
        return self.held.parameters[self.sites[name].slices[0].tensor].detach().abs()

    def _draw(self) -> None:
        """A step of the group lasso, as far as the optimizer's last one was long."""
        rates = {id(p): g["lr"] for g in self.optimizer.param_groups for p in g["params"]}
        for site in self.sites.values():
            part = site.slices[0]
            weight = self.held.parameters[part.tensor]
            amount = self.lasso * float(rates.get(id(weight), 0.0))
            with torch.no_grad():
                weight.copy_(group_lasso(weight, part, site.shape, amount))

    def _score(self, criterion: Criterion, name: str, trace: Trace | None) -> Tensor:
        """[*grid] scores, -inf of what is gone."""
        site, parameters = self.sites[name], self.held.parameters
        names = [part.tensor for part in site.slices if part.tensor in parameters]
        evidence = Evidence(site, {n: parameters[n].detach() for n in names})
        if trace is not None and trace.value is not None:
            evidence.seen[trace.name] = trace.value
        scores = criterion.scores(evidence)
        return scores if self.regrow else _of_those(self.masks[name].to(scores.device), scores)

    def _traces(self) -> Iterator[tuple[str, Trace]]:
        """Traces by their names in the state."""
        traces = (trace for traces in self.traces for trace in traces.values())
        return ((f"trace/{trace.name}/{trace.site.name}", trace) for trace in traces)

    def _require_ours(self, state: Mapping[str, Tensor]) -> None:
        masks = {f"mask/{name}" for name in self.masks}
        eased = {f"{what}/{name}" for what in ("goal", "rank", "part") for name in self.masks}
        other = state.keys() - masks - {key for key, _ in self._traces()} - {"done"} - eased
        other |= {"done", *masks} - state.keys()
        if other:
            raise PrunusError(
                f"the saved state is of another pruning: only one of them has {sorted(other)[0]!r}"
            )
        for name, mask in self.masks.items():
            shape = tuple(state[f"mask/{name}"].shape)
            if shape != mask.shape:
                raise PrunusError(
                    f"the saved state is of another pattern: site {name!r} had a grid of {shape},"
                    f" and now has one of {tuple(mask.shape)}"
                )

    def _apply(self) -> None:
        """Hold what the masks remove."""
        fine = {name: own for e in self.easings for name, own in e.stays().items()}
        self.held.set(self.masks, fine)
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
        if not self.held.parameters:
            raise PrunusError(
                f"{type(self.model).__name__} has no parameter {next(iter(self.sites))!r}: make the"
                " pruner of the model that its sites are of, not of one that wraps it"
            )
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        if not any(id(parameter) in trained for parameter in self.held.parameters.values()):
            raise PrunusError(
                "the optimizer trains none of the weights that shall go; give it the parameters of"
                " this model (the pruner is made after the optimizer)"
            )


def _of_those(alive: Tensor, scores: Tensor) -> Tensor:
    """Scores, -inf of what is not alive: five times as fast as ``torch.where``."""
    cap = alive.view(torch.uint8).to(scores.dtype).sub_(0.5).mul_(torch.inf)
    return torch.minimum(scores, cap, out=cap)
