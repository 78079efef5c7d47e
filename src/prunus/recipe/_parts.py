"""The parts that a recipe names, built; torch is imported when the first one is."""

from dataclasses import dataclass
from typing import Any

from prunus.errors import PrunusError
from prunus.recipe._model import Recipe, Settings
from prunus.registry import Part, find, parse


@dataclass(frozen=True)
class Parts:
    """A recipe's parts, ready to run: what :func:`prunus.drive.job_of` takes."""

    task: Any
    score: Any
    budget: Any
    select: Any
    drive: Any
    recover: tuple[Any, ...]


def class_of(key: str, settings: Settings) -> type[Part]:
    """The class of the settings under a recipe's ``key``; ``name`` is taken out of them.

    Raises:
        PrunusError: nothing has that name.
    """
    if key == "budget":
        from prunus.select import Budget

        return Budget
    if key == "training":
        from prunus.task import Training

        return Training
    return find(key, settings.pop("name"))


def build(key: str, spec: Settings, seed: int = 0) -> Any:
    """One part of a recipe; one that draws takes the recipe's seed unless it has its own.

    Raises:
        PrunusError: a setting is unknown or out of range.
    """
    settings = dict(spec)
    cls = class_of(key, settings)
    if "seed" in cls.model_fields:
        settings.setdefault("seed", seed)
    return parse(cls, key, settings)


def parts(recipe: Recipe) -> Parts:
    """Everything that a recipe names.

    Raises:
        PrunusError: a setting is unknown or out of range, a touch-up is not the last of all, or a
            search would train every model that it tries.
    """
    from prunus.recover import parted

    task, score, budget, select, drive = (
        build(key, getattr(recipe, key), recipe.seed)
        for key in ("task", "score", "budget", "select", "drive")
    )
    repairs = tuple(build("recover", spec, recipe.seed) for spec in recipe.recover)
    _, last = parted(repairs)
    if last is not None and budget.max_loss is not None:
        name = recipe.recover[-1]["name"]
        raise PrunusError(
            f"budget.max_loss tries many models, and {name} would train each of them; search"
            f" without {name}, then prune once to the density that was found"
        )
    return Parts(task, score, budget, select, drive, repairs)


def resolved(recipe: Recipe, chosen: Parts) -> Settings:
    """The recipe with every default spelt out, as YAML and JSON say it."""
    full = recipe.model_dump(mode="json", exclude_none=True)
    for key in ("task", "score", "select", "drive"):
        full[key] = _spelt(full[key], getattr(chosen, key))
    full["budget"] = chosen.budget.model_dump(mode="json", exclude_none=True)
    full["recover"] = list(map(_spelt, full["recover"], chosen.recover))
    return full if recipe.latency else full | {"latency": None}


def _spelt(spec: Settings, part: Part) -> Settings:
    return {"name": spec["name"], **part.model_dump(mode="json", exclude_none=True)}
