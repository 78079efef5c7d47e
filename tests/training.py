"""Tiny models in training, and what must hold of their pruners after every step."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prunus.anatomy import Anatomy, anatomy, plain
from prunus.drive._course import Course
from prunus.drive._pruner import Pruner
from prunus.registry import build
from prunus.select import Budget, weights
from prunus.site import expand
from tests.tiny import batch_of, tiny

CURVES: dict[str, Callable[[float, float], float]] = {
    "linear": lambda t, end: 1 + t * (end - 1),
    "exponential": lambda t, end: end**t,
    "cosine": lambda t, end: 1 + (end - 1) * (1 - cos(t * pi / 2)),
    "cube": lambda t, end: 1 + (end - 1) * t**3,
    "cubic": lambda t, end: end - (end - 1) * (1 - t) ** 3,
    "one_shot": lambda t, end: end if t > 0 else 1.0,
}
"""Density at a fraction of the way, as the papers and neural-compressor's code have it."""


class Net(nn.Module):
    """Two convolutions and three linear layers, the last of which is the head."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(8, 16, 3, padding=1)
        self.sound = nn.Conv1d(16, 16, 2)
        self.wide = nn.Linear(16, 24)
        self.back = nn.Linear(24, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.sound(self.image(x).tanh().mean(-1)).tanh().mean(-1)
        return self.head(self.back(self.wide(x).tanh()).tanh())


@dataclass
class Tiny:
    """A model, its anatomy, and batches to train it on."""

    model: nn.Module
    sites: Anatomy
    loss: Callable[[int], Tensor]

    def grad(self, batch: int = 0) -> Tensor:
        """Add the gradients of one batch; its loss."""
        loss = self.loss(batch)
        loss.backward()
        return loss.detach()

    def of(self, pattern: str, match: str = ".*", **settings: object) -> Anatomy:
        """Heads, neurons, or weights in a pattern."""
        if pattern in ("heads", "neurons"):
            return self.sites.of(pattern)
        return plain(self.model).grid(match, pattern, **{"indivisible": "pad", **settings})


def trained(name: str = "net", seed: int = 0) -> Tiny:
    """A random model of a name: net, bert or gpt2."""
    if name == "net":
        torch.manual_seed(seed)
        net = Net()
        return Tiny(net, plain(net), lambda batch: _net_loss(net, batch))
    model = tiny(name, seed=seed, layers=1, heads=4)
    return Tiny(
        model, anatomy(model), lambda batch: model(**batch_of(model, size=2, seed=batch)).loss
    )


def net_data(batch: int, size: int = 4) -> tuple[Tensor, Tensor]:
    """Random inputs and answers of a batch for the net."""
    generator = torch.Generator().manual_seed(batch)
    inputs = torch.randn(size, 8, 6, 6, generator=generator)
    return inputs, torch.randn(size, 4, generator=generator)


def _net_loss(net: Net, batch: int) -> Tensor:
    inputs, answers = net_data(batch)
    return (net(inputs) - answers).square().mean()


def course(
    sites: Anatomy, density: float = 0.3, criterion: object = "snip_momentum",
    schedule: object = None, **budget: object,
) -> Course:  # fmt: skip
    """Sites under one budget of weights."""
    made = {"name": "cubic", "warmup": 2, "cooldown": 2, "every": 2} | dict(schedule or {})
    return Course(
        sites, build("score", criterion), build("schedule", made),
        Budget(**{"density": density, "metric": "weights", **budget}), weights(sites),
    )  # fmt: skip


def pruned(tiny: Tiny, optimizer: Optimizer, *courses: Course, steps: int = 12, **settings: bool):
    """A pruner of a model in training."""
    return Pruner(tiny.model, optimizer, courses, steps, **settings)


def removed(pruner: Pruner) -> dict[str, Tensor]:
    """{parameter: bool of its shape} which of its entries are removed."""
    found = {}
    for name, site in pruner.sites.items():
        gone = (~pruner.masks[name]).float()
        for part in site.slices:
            parameter = dict(pruner.model.named_parameters()).get(part.tensor)
            if parameter is not None:
                own = expand(part, gone, parameter.shape) > 0
                found[part.tensor] = own | found.get(part.tensor, torch.zeros_like(own))
    return found


def check_removed(pruner: Pruner) -> int:
    """Removed weights, and what the optimizer remembers of them, are exactly zero; how many."""
    count, parameters = 0, dict(pruner.model.named_parameters())
    for name, gone in removed(pruner).items():
        parameter = parameters[name]
        assert not parameter[gone].any(), name
        for key, value in pruner.optimizer.state[parameter].items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                assert not value[gone].any(), (name, key)
        count += int(gone.sum())
    return count


def check_density(pruner: Pruner, of: Course, density: float) -> None:
    """Within what the density allows, and nothing that still fits was left out."""
    counts = {name: int(pruner.masks[name].sum()) for name in of.sites}
    share = Fraction(density).limit_denominator(10**9)
    pools = [list(of.sites)] if of.budget.scope == "global" else [[name] for name in of.sites]
    for pool in pools:
        price = {
            name: int(of.cost.price(name)) if len(pool) > 1 else 1 for name in pool
        }  # fmt: skip
        limit = int(share * sum(of.sites[name].units * price[name] for name in pool))
        left = limit - sum(counts[name] * price[name] for name in pool)
        assert left >= 0
        for name in pool:
            for step in steps_of(of.sites[name], pruner.masks[name]):
                assert step * price[name] > left, (name, step, left)


def steps_of(site, mask: Tensor) -> set[int]:
    """How many units might come back together."""
    if not site.among:
        return set() if mask.all() else {1}
    return {length - kept for length, kept in runs_kept(site, mask) if kept < length}


def runs_kept(site, mask: Tensor) -> set[tuple[int, int]]:
    """(length, how many stay) of the runs of a site with n of m."""
    n, m = site.among
    pieces = mask.movedim(1, -1).split(m, -1)
    found = {(piece.shape[-1], int(kept)) for piece in pieces for kept in piece.sum(-1).flatten()}
    assert all(kept in (length, min(n, length)) for length, kept in found)
    return found
