"""The command for those who come from neural-compressor."""

from pathlib import Path

from prunus.cli._print import say
from prunus.compat._read import pruners_in
from prunus.compat._recipe import recipe_of, written
from prunus.files import write_bytes
from prunus.registry import require


def import_inc(
    config: str,
    /,
    *,
    model: str = "runs/sst2-dense",
    task: str = "glue:sst2",
    out: Path | None = None,
) -> None:
    """Turn a WeightPruningConfig of neural-compressor into a recipe.

    Args:
        config: a YAML, JSON or Python file, or the arguments themselves:
            "target_sparsity=0.5, pattern='2:4', end_step=1000". Code is read, never run.
        model: the checkpoint to prune.
        task: the task in one word: glue:sst2.
        out: the recipe's file; standard output where left out.
    """
    name, _, subset = task.partition(":")
    require("task", name)
    spec = {"name": name, "subset": subset} if subset else {"name": name}
    text = written(*recipe_of(pruners_in(config), model, spec))
    if out is None:
        say(text.rstrip())
        return
    write_bytes(out, text.encode())
    say(f"{out}: prunus check {out}, prunus run {out}")
