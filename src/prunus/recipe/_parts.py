"""The parts that a recipe names, built; torch is imported when the first one is."""

from dataclasses import dataclass
from typing import Any

from prunus.errors import PrunusError
from prunus.recipe._model import BY_DRIVE, ELSEWHERE, GRADUAL, LIBRARY, TRAINING, Recipe, Settings
from prunus.registry import Part, find, parse, spelt

MADE = ("random", "narrower", "shallower")
FOLDERS = {"losses": "loss"}
"""Where the parts of a recipe's key lie, if not in a folder of its name."""


@dataclass(frozen=True)
class Parts:
    """A recipe's parts, ready to run: what :func:`prunus.drive.job_of` takes."""

    task: Any
    score: Any
    budget: Any
    select: Any
    drive: Any
    recover: tuple[Any, ...]
    adapt: Any
    training: Any
    losses: tuple[Any, ...]
    export: tuple[Any, ...]


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
    return find(FOLDERS.get(key, key), settings.pop("name"))


def build(key: str, spec: Settings | str, seed: int = 0) -> Any:
    """One part of a recipe; one that draws takes the recipe's seed unless it has its own.

    Raises:
        PrunusError: a setting is unknown or out of range.
    """
    settings: Settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    cls = class_of(key, settings)
    if "seed" in cls.model_fields:
        settings.setdefault("seed", seed)
    return parse(cls, key, settings)


def parts(recipe: Recipe) -> Parts:
    """Everything that a recipe names.

    Raises:
        PrunusError: a setting is unknown or out of range, a touch-up is not the last of all, a
            search would train every model that it tries, a training has no drive, repairs are
            asked of a training, or adapters are asked for twice.
    """
    from prunus.drive._readers import require_apart, require_together
    from prunus.recover import parted

    task, score, budget, select, drive, training = (
        build(key, getattr(recipe, key), recipe.seed)
        for key in ("task", "score", "budget", "select", "drive", "training")
    )
    repairs, losses, exporters = (
        tuple(build(key, spec, recipe.seed) for spec in getattr(recipe, key))
        for key in ("recover", "losses", "export")
    )
    adapt = None if recipe.adapt is None else build("adapt", recipe.adapt)
    mended, last = parted(repairs)
    if last is not None:
        last.adaptation(adapt)
    name = recipe.drive["name"]
    if name in TRAINING:
        _require_once(recipe, budget)
        if mended:
            raise PrunusError(
                f"drive: {name} trains the weights that stay; repairs are for what goes at once:"
                " say recover: [] (finetune may follow)"
            )
    if name == LIBRARY:
        _require_once(recipe, budget)
    (require_apart if name == LIBRARY else require_together)(mended)
    if name != GRADUAL:
        _require_common(budget)
        _require_known(score, name)
    if last is not None and budget.max_loss is not None:
        name = recipe.recover[-1]["name"]
        raise PrunusError(
            f"budget.max_loss tries many models, and {name} would train each of them; search"
            f" without {name}, then prune once to the density that was found"
        )
    return Parts(task, score, budget, select, drive, repairs, adapt, training, losses, exporters)


def _require_once(recipe: Recipe, budget: Any) -> None:
    """Check that nothing asks to train more than one model."""
    many = [name for name in recipe.compare if name in MADE]
    if many or budget.max_loss is not None:
        what = f"compare: {', '.join(many)}" if many else "budget.max_loss"
        name = recipe.drive["name"]
        would = "train" if name in TRAINING else "compose"
        raise PrunusError(
            f"{what} makes further models in the recipe's own way, and drive: {name} would {would}"
            " each of them; leave it out, or run recipes of their own"
        )


def _require_common(budget: Any) -> None:
    """Check that no rule speaks of a training that does not take place."""
    for rule in budget.rules:
        if rule.score is not None or rule.schedule is not None:
            raise PrunusError(
                f"budget rule {rule.match!r}: a score or schedule of its own needs drive: gradual"
            )


def _require_known(score: Any, drive: str) -> None:
    """Check that nothing is scored by what only a training brings about."""
    if score.learned:
        raise PrunusError(
            f"score: {type(score).__name__} is learnt while the network trains; use drive: gradual,"
            f" not {drive}"
        )


def resolved(recipe: Recipe, chosen: Parts) -> Settings:
    """The recipe with every default spelt out, as YAML and JSON say it."""
    said = recipe.model_dump(mode="json", exclude_none=True)
    full = {"model": said["model"], "task": said["task"], **said}
    for key in ("task", "score", "select", "drive"):
        full[key] = spelt(getattr(chosen, key))
    full["budget"] = chosen.budget.model_dump(mode="json", exclude_none=True)
    full["recover"] = list(map(spelt, chosen.recover))
    full["export"] = list(map(spelt, chosen.export))
    if chosen.adapt is not None:
        full["adapt"] = spelt(chosen.adapt)
    if recipe.trains:
        said = chosen.training.model_dump(mode="json", exclude_none=True)
        other = ELSEWHERE | BY_DRIVE.get(full["drive"]["name"], {})
        full["training"] = {key: value for key, value in said.items() if key not in other}
        full["losses"] = list(map(spelt, chosen.losses))
    else:
        full = {key: value for key, value in full.items() if key not in ("training", "losses")}
    return full if recipe.latency else full | {"latency": None}
