"""The command that writes checkpoints for other runtimes."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prunus.cli._checkpoints import task_of
from prunus.cli._print import say, waiting
from prunus.errors import PrunusError

if TYPE_CHECKING:
    from rich.table import Table

    from prunus.recipe.export import Written


def export(
    checkpoint: str,
    /,
    *,
    to: str,
    dtype: Literal["float32", "bfloat16", "int8"] = "float32",
    out: Path | None = None,
    task: str | None = None,
    recipe: str | None = None,
    split: str = "validation",
    quiet: bool = False,
) -> None:
    """Write a checkpoint as graphs for another runtime, compared with torch before they stay.

    With a task, answers are compared on its examples and the quality of both is measured; without,
    on made-up inputs.

    Args:
        checkpoint: dense or pruned (see eval).
        to: the exporter: openvino, onnx or pt2.
        dtype: what it computes in: float32, bfloat16 or int8 (weights; what they meet is quantised
            as it comes).
        out: the folder to write; else in the run, or beside the checkpoint.
        task: a task in one word: glue:sst2.
        recipe: or the recipe whose task it is.
        split: the task's split.
        quiet: show no progress, print nothing but errors.
    """
    spec = None if task is None and recipe is None else task_of(task, recipe)
    if spec is None and split != "validation":
        raise PrunusError(
            "split: names rows of a task; say which: --task glue:sst2, or --recipe FILE"
        )
    with waiting("exporting", quiet):
        from prunus.recipe.export import write

        found = write(checkpoint, {"name": to, "dtype": dtype}, out, spec, split, quiet)
    if not quiet:
        say(*_told(found))


def _told(found: "Written") -> "list[str | Table]":
    facts = found.facts
    said = (
        f"{facts.to}, {facts.dtype}: answers differ by at most {facts.difference:.1e} of torch's"
        f" largest, on {facts.samples} {facts.inputs}"
    )
    lines: list[str | Table] = [f"export:  {found.folder}", said]
    if found.left:
        lines.append(
            f"the graph is the transformer, which gives states of tokens; {', '.join(found.left)}"
            " of sentence-transformers are left to whoever runs it"
        )
    return lines if found.qualities is None else [*lines, _table(found)]


def _table(found: "Written") -> "Table":
    from rich.table import Table

    table = Table()
    for name in ("", "quality"):
        table.add_column(name)
    for name, quality in zip(("torch", found.facts.to), found.qualities or (), strict=True):
        table.add_row(name, str(quality))
    table.add_row("change", str(found.change))
    return table
