"""Commands that work on checkpoints: eval, show, save, fetch."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from prunus.cli._print import say, waiting
from prunus.errors import PrunusError
from prunus.recipe import read_task


def evaluate(
    checkpoint: str,
    /,
    *,
    task: str | None = None,
    recipe: str | None = None,
    split: str = "validation",
    batch_size: Annotated[int, Parameter(validator=Number(gt=0))] = 32,
    runtime: str = "torch-eager",
    dtype: str = "float32",
    quiet: bool = False,
) -> None:
    """Measure the quality of a checkpoint, dense, pruned or exported.

    Args:
        checkpoint: a folder (of a run, too), package:module/folder, or a hub id.
        task: a task in one word: glue:sst2.
        recipe: or the recipe whose task it is.
        split: the task's split.
        batch_size: examples in a batch.
        runtime: what runs it (see bench); an export has its own.
        dtype: what it computes in.
        quiet: show no progress.
    """
    spec = task_of(task, recipe)
    with waiting("opening model and data", quiet):
        from prunus.recipe.checkpoints import evaluate as measure
    say(str(measure(checkpoint, spec, split, batch_size, (runtime, dtype), quiet)))


def show(what: str, /) -> None:
    """Print what stays: of a checkpoint, of a run, or of a plan.

    Args:
        what: a checkpoint (see eval), a run's folder, or a plan's .safetensors or .json file.
    """
    with waiting("opening"):
        from prunus.cli._tables import per_layer
        from prunus.recipe.checkpoints import look

        lines, kept = look(what)
    say(*lines, *per_layer(kept))


def save(checkpoint: str, out: Path, /, *, portable: bool = False, packed: bool = False) -> None:
    """Write a checkpoint anew, in another form, with its tokenizer and whatever else it has.

    Args:
        checkpoint: dense or pruned (see eval); a portable or packed one, too.
        out: the folder to write; a checkpoint there is replaced.
        portable: let transformers alone open it, with trust_remote_code=True.
        packed: leave zero blocks of weights out of the file, which prunus then opens.
    """
    with waiting("opening"):
        from prunus.recipe.rewrite import rewrite

        found = rewrite(checkpoint, out, portable, packed)
    say(f"model:     {out}", f"opened by: {found}")


def fetch(model: str, out: Path, /) -> None:
    """Store a model of the hub with its tokenizer, so that what follows needs no hub.

    Args:
        model: a hub id: google-t5/t5-small.
        out: the folder to write; a checkpoint there is replaced.
    """
    with waiting("fetching"):
        from prunus.recipe.rewrite import rewrite

        found = rewrite(model, out)
    say(f"model:     {out}", f"opened by: {found}")


def task_of(task: str | None, recipe: str | None) -> Any:
    """The task of an option in one word, or of a recipe.

    Raises:
        PrunusError: neither or both are given.
    """
    if (task is None) == (recipe is None):
        raise PrunusError("say which task: --task glue:sst2, or --recipe FILE")
    if recipe is not None:
        return read_task(recipe)
    name, _, what = str(task).partition(":")
    key = "subset" if name == "glue" else "data"
    return {"name": name, key: what} if what else {"name": name}
