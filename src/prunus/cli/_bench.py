"""The command that times checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prunus.cli._print import say, waiting
from prunus.errors import PrunusError
from prunus.files import write_bytes

if TYPE_CHECKING:
    from prunus.recipe.bench import Asked

CALL = ("batch", "length", "threads")
"""What says which call is timed."""
Sizes = Annotated[list[int] | None, Parameter(consume_multiple=True)]


def bench(
    dense: str,
    pruned: str | None = None,
    /,
    *,
    table: bool = False,
    runtime: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    dtype: str | None = None,
    batch: Sizes = None,
    length: Sizes = None,
    threads: Sizes = None,
    pairs: int | None = None,
    across: bool = False,
    fixed: bool = False,
    out: Path | None = None,
    quiet: bool = False,
) -> None:
    """Time two checkpoints in turns on random inputs, beside the ratio of their FLOPs.

    Every ratio is one of the same runtime. With --table: time one checkpoint's sublayers at every
    width, as budgets of latency count.

    Args:
        dense: the checkpoint before, or an export of it.
        pruned: the checkpoint after, or an export of it; none with --table.
        table: time sublayers; what was timed before on this machine is shown again.
        runtime: what runs the models, one or several: torch-eager, torch-compile, torch-sparse,
            onnx, openvino, pt2; torch-eager where left out.
        dtype: what they compute in: float32, bfloat16, int8; float32 where left out.
        batch: samples in a call, one number or several; 8 where left out.
        length: tokens of each, where the models read text; 128 where left out.
        threads: how many threads a runtime computes with; 1 where left out.
        pairs: how many pairs of runs are timed; 15 where left out.
        across: also compare the runtimes with each other, or exports of different ones.
        fixed: let onnx and openvino compile the models for exactly the shapes of a call.
        out: a JSON file for what was measured.
        quiet: show no progress.
    """
    if table != (pruned is None):
        raise PrunusError("bench times two checkpoints, DENSE PRUNED, or one, DENSE --table")
    if out is not None and out.is_dir():
        raise PrunusError(f"--out {out} is a folder; name a file: {out / 'bench.json'}")
    said = {
        "batch": batch, "length": length, "threads": threads, "runtime": runtime, "dtype": dtype,
        "pairs": pairs, "across": across or None, "fixed": fixed or None,
    }  # fmt: skip
    given = {name: value for name, value in said.items() if value is not None}
    with waiting("opening", quiet):
        from prunus.recipe.bench import Asked
        from prunus.registry import parse

        asked = parse(Asked, "bench", given)
    if pruned is None:
        _widths(dense, asked, quiet, out)
        return
    from prunus.cli._timings import timings, told_across
    from prunus.recipe.bench import bench as measure

    found = measure(dense, pruned, asked, quiet)
    say(*timings(found), *(told_across(found) if across else ()))
    if out is not None:
        write_bytes(out, found.model_dump_json(indent=2).encode())
        say(f"kept in {out}")


def _widths(checkpoint: str, asked: "Asked", quiet: bool, out: Path | None) -> None:
    others = [*(asked.model_fields_set - set(CALL)), *(["out"] if out else [])]
    if others:
        raise PrunusError(
            f"--table times torch-eager in float32, and says where it is kept: leave out"
            f" {', '.join(f'--{name}' for name in sorted(others))}"
        )
    many = [name for name in CALL if len(getattr(asked, name)) > 1]
    if many:
        raise PrunusError(f"--table is one of a single call; got several of {', '.join(many)}")
    from prunus.cli._tables import widths
    from prunus.recipe.bench import table_of

    found = table_of(checkpoint, asked.batch[0], asked.length[0], asked.threads[0], quiet)
    say(*widths(found), f"kept in {found.path}")
