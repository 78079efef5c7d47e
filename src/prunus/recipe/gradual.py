"""Pruning inside of a training loop of one's own."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from prunus.anatomy import Anatomy, anatomy, known, plain
from prunus.drive import cost_of
from prunus.drive._course import courses
from prunus.drive._possible import require_units
from prunus.drive._pruner import Pruner
from prunus.drive.gradual import Gradual
from prunus.errors import PrunusError
from prunus.recipe._model import GRADUAL, Method
from prunus.recipe._parts import build
from prunus.registry import parse

COUNTED = ("units", "weights", "params")


def gradual(
    model: nn.Module,
    optimizer: Optimizer,
    recipe: Method | Mapping[str, Any],
    steps: int,
    epoch: int | None = None,
) -> Pruner:
    """Prune a model while an optimizer trains it, whoever calls the optimizer.

    Args:
        model: any torch module for grids of weights, one of a known family for heads and neurons.
        optimizer: of the model's parameters; accelerate's wrapper is one too.
        recipe: the keys ``sites``, ``score``, ``budget`` and ``drive`` of a recipe, whose drive is
            ``gradual``: ``{"sites": {"grid": "4x1"}, "budget": {"density": 0.1}}``.
        steps: of the optimizer, in the whole training.
        epoch: of the optimizer, in an epoch, where the schedule speaks of epochs.

    Returns:
        The pruner; it needs no further call while training. ``detach`` ends it and gives the plan,
        by which ``prunus.shrink`` removes what can be removed.

    Raises:
        PrunusError: the recipe does not fit, or the training is too short.
    """
    method = recipe if isinstance(recipe, Method) else _method(recipe)
    drive = build("drive", method.drive)
    if not isinstance(drive, Gradual):
        raise PrunusError(f"drive: {method.drive['name']} does not train; use drive: {GRADUAL}")
    require_units(model)
    sites = _all(model).chosen(method.sites)
    budget, score = build("budget", method.budget), build("score", method.score)
    if budget.metric not in COUNTED:
        raise PrunusError(
            f"metric: {budget.metric} is measured on data; in a loop of your own count"
            f" {', '.join(COUNTED)}"
        )
    budget.require_known()
    cost = cost_of(model, sites, budget.metric, {}, None)
    found = tuple(courses(sites, score, drive.schedule, budget, cost))
    return drive.pruner(model, optimizer, found, steps, epoch)


def _method(settings: Mapping[str, Any]) -> Method:
    budget = settings.get("budget", {"density": 0.5})
    counted = {"metric": "weights", **budget} if isinstance(budget, Mapping) else budget
    return parse(Method, "recipe", {"drive": GRADUAL, **settings, "budget": counted})


def _all(model: nn.Module) -> Anatomy:
    return anatomy(model) if known(model) else plain(model)
