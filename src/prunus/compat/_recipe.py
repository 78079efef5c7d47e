"""A configuration of neural-compressor as a recipe of prunus, with what differs in comments."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from prunus.compat._config import PrunerConfig
from prunus.errors import PrunusError

KINDS = ("Linear", "Conv1D", "Conv1d", "Conv2d")
Settings = dict[str, Any]


def recipe_of(
    pruners: Sequence[PrunerConfig], model: str, task: Mapping[str, Any]
) -> tuple[Settings, list[str]]:
    """A recipe of drive: gradual, and what is not quite the same.

    The first pruner is the recipe's budget, score and schedule; the others are rules.

    Args:
        pruners: settled.
        model: what is pruned.
        task: what it does.

    Raises:
        PrunusError: the pruners cannot be one recipe.
    """
    first, *others = pruners
    if any(pruner.only_locked for pruner in others):
        raise PrunusError("pattern_lock beside other pruners: prune first, then train what is left")
    rules = [_rule(pruner) for pruner in others]
    budget = {**_amounts(first), "metric": "weights" if first.tiling else "units"}
    found = {
        "model": model,
        "task": dict(task),
        "sites": [_sites(pruner) for pruner in pruners],
        "score": _score(first),
        "budget": budget | ({"rules": rules} if rules else {}),
        "drive": _drive(first),
        "losses": ["labels"],
    }
    end = max(pruner.end_step for pruner in pruners)
    if end:
        found["training"] = {"max_steps": end}
    return found, list(dict.fromkeys(_notes(pruners)))


def written(recipe: Settings, notes: Sequence[str]) -> str:
    """The text of a recipe file."""
    head = "# From a WeightPruningConfig of neural-compressor; density is what stays\n"
    said = "".join(f"# - {note}\n" for note in notes)
    return head + said + yaml.safe_dump(recipe, sort_keys=False, width=100)


def _sites(pruner: PrunerConfig) -> Any:
    if pruner.tiling is None:
        return "heads"
    kinds = [kind for kind in KINDS if any(part in kind for part in pruner.pruning_op_types)]
    if not kinds:
        raise PrunusError(
            f"pruning_op_types {list(pruner.pruning_op_types)}: prunus takes {', '.join(KINDS)}"
        )
    types = {} if len(kinds) == len(KINDS) else {"types": kinds}
    grid = {"grid": str(pruner.tiling), "match": _match(pruner)}
    return {**grid, **types, "indivisible": "skip"}


def _match(pruner: PrunerConfig, end: str = "") -> str:
    """A regular expression for whole names, from those that are searched in them."""
    within = "|".join(_ended(name, end) for name in pruner.op_names)
    without = "|".join(_ended(name, end) for name in pruner.excluded_op_names)
    inside = f".*(?:{within}).*" if within else ".*"
    return (f"(?!.*(?:{without}))" if without else "") + inside


def _ended(pattern: str, end: str) -> str:
    """The end of a module's name is not that of its site's."""
    open_ended = pattern.endswith("$") and not pattern.endswith("\\$")
    return f"{pattern[:-1]}(?={end}$)" if open_ended and end else pattern


def _amounts(pruner: PrunerConfig) -> Settings:
    if pruner.only_locked:
        return {"density": 1.0}
    bounds = {"floor": 1 - pruner.most}
    if pruner.min_sparsity_ratio_per_op:
        bounds["ceiling"] = 1 - pruner.min_sparsity_ratio_per_op
    density = {"density": 1 - pruner.target, "scope": pruner.pruning_scope}
    return {k: round(v, 9) if isinstance(v, float) else v for k, v in (density | bounds).items()}


def _rule(pruner: PrunerConfig) -> Settings:
    end = ":heads" if pruner.tiling is None else ":grid"
    match = "heads$" if pruner.tiling is None else f"^{_match(pruner, end)}{end}$"
    return {
        "match": match,
        **_amounts(pruner),
        "score": _score(pruner),
        "schedule": pruner.schedule,
    }


def _score(pruner: PrunerConfig) -> Settings:
    by = pruner.criterion_reduce_type
    if pruner.only_locked or pruner.criterion == "magnitude":
        return {"name": "magnitude"}
    reduce = "sum" if pruner.criterion == "block_mask" else by
    return {"name": pruner.criterion} | ({"reduce": reduce} if reduce != "mean" else {})


def _drive(pruner: PrunerConfig) -> Settings:
    zeros = {"lock": True} if pruner.locked else {"regrow": True}
    return {"name": "gradual", "schedule": pruner.schedule, **zeros, **pruner.extras}


def _notes(pruners: Sequence[PrunerConfig]) -> Iterator[str]:
    yield "heads and neurons that are dead afterwards go physically; dead: false keeps them"
    yield "the head of the network stays dense; the original left out its last layer only"
    if any(pruner.end_step for pruner in pruners):
        yield "training ends where pruning does: to go on, raise max_steps, and say a cooldown"
    if len({pruner.end_step for pruner in pruners}) > 1:
        yield "the pruners ended at different steps; here all end with the training"
    for pruner in pruners:
        yield from _notes_on(pruner)
    drives = [{k: v for k, v in _drive(pruner).items() if k != "schedule"} for pruner in pruners]
    if any(drive != drives[0] for drive in drives):
        yield "regrow, lock, progressive and lasso are those of the first pruner, for all"
    if len(pruners) > 1:
        yield "a layer may belong to one pruner only: `prunus check` tells if two take it"


def _notes_on(pruner: PrunerConfig) -> Iterator[str]:
    if "channel" in pruner.pattern:
        yield "the density counts weights; the original counted channels, however long"
    if pruner.criterion_reduce_type != "mean" and pruner.criterion == "magnitude":
        yield f"magnitude is a block's mean |w|, not its {pruner.criterion_reduce_type}"
    if pruner.tiling is None and (pruner.op_names or pruner.excluded_op_names):
        yield "heads of all layers are taken, whatever op_names says"
    if pruner.locked and not pruner.only_locked:
        yield "the schedule starts from a dense network, and what is zero already counts as gone"
