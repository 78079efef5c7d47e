"""How much faster a pruned checkpoint is: both timed in turns, by every runtime asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import PositiveInt
from transformers import PreTrainedModel

from prunus.doctor._rates import rates
from prunus.errors import PrunusError
from prunus.export import FILE, Facts
from prunus.measure.hardware import hardware, versions
from prunus.measure.size import parameters
from prunus.measure.table import Table
from prunus.measure.table import table as table_at
from prunus.probe._device import threads
from prunus.recipe._bars import Bars
from prunus.recipe._measured import timed, work
from prunus.recipe._open import folder_of, open_model
from prunus.recipe._runtimes import EAGER, Batch, Models, exported, paired, require
from prunus.recipe._sample import random_sample
from prunus.registry import Many, Part
from prunus.report import _schema as schema
from prunus.report import _units as show
from prunus.report._bench import Bench, Cell
from prunus.select._budget import At


class Asked(Part):
    """What is timed: every runtime, with every number of threads, length and batch.

    Attributes:
        runtime: see :func:`prunus.recipe._settings.runtimes`.
        dtype: what they compute in.
        batch: samples in a call.
        length: tokens of a sample, where the models read text.
        threads: how many threads a runtime computes with.
        pairs: how many pairs of calls are timed.
        across: let exports of different runtimes or dtypes be compared.
        fixed: let onnx and openvino compile the models for exactly the shapes of the call.
    """

    runtime: Many[str] = (EAGER,)
    dtype: Literal["float32", "bfloat16", "int8"] = "float32"
    batch: Many[PositiveInt] = (8,)
    length: Many[PositiveInt] = (128,)
    threads: Many[PositiveInt] = (1,)
    pairs: PositiveInt = 15
    across: bool = False
    fixed: bool = False


def bench(dense: str, pruned: str, asked: Asked, quiet: bool = False) -> Bench:
    """Time two checkpoints in turns on random inputs.

    Args:
        dense: the checkpoint before.
        pruned: the checkpoint after.
        asked: how.
        quiet: show no progress.

    Raises:
        PrunusError: a checkpoint is missing, or has no positions for so many tokens; a runtime is
            unknown, not installed, or cannot run a model.
    """
    sides = Side.of(dense), Side.of(pruned)
    runtimes = _runtimes(sides, asked)
    models = sides[0].model(), sides[1].model()
    calls = [_Call.of(models, length) for length in asked.length]
    if "input_ids" not in calls[0].sample:
        calls = calls[:1]
    with Bars(quiet) as bars:
        cells = [
            cell
            for runtime, dtype in runtimes
            for cell in _cells(runtime, dtype, sides, models, calls, asked, bars)
        ]
    with threads(1):
        peaks = rates()
    sizes = [parameters(model) for model in models]
    return Bench(
        dense=dense,
        pruned=pruned,
        params=schema.Pair(dense=sizes[0], pruned=sizes[1]),
        peaks=peaks,
        cells=tuple(cells),
        hardware=hardware(),
        versions=versions(),
    )


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a checkpoint, or an export of one.

    Attributes:
        folder: where it lies.
        facts: of the export.
    """

    folder: Path
    facts: Facts | None

    @classmethod
    def of(cls, where: str) -> "Side":
        """What lies somewhere."""
        folder = folder_of(where)
        return cls(folder, Facts.load(folder) if (folder / FILE).is_file() else None)

    def model(self) -> PreTrainedModel:
        """The model in torch, on which work is counted.

        Raises:
            PrunusError: it is gone, or not known.
        """
        if self.facts is None:
            return open_model(self.folder)
        where = self.facts.origin(self.folder)
        if where is None:
            raise PrunusError(
                f"{self.folder} does not say which model it was exported from, on which its work is"
                " counted: name the checkpoint as it is exported, as `prunus export` does"
            )
        try:
            return open_model(folder_of(where))
        except PrunusError as error:
            raise PrunusError(
                f"{self.folder} was exported from {where}, on which its work is counted, but:"
                f" {error}"
            ) from None


@dataclass(frozen=True, eq=False)
class _Call:
    """One sample for both models.

    Attributes:
        sample: what they read.
        length: its tokens, where it has any.
        work: FLOPs of both models on it, by runtime.
    """

    sample: Batch
    length: int | None
    work: Callable[[str], tuple[int, int]]

    @classmethod
    def of(cls, models: Models, length: int) -> "_Call":
        samples = [random_sample(model, length) for model in models]
        first, second = (", ".join(own) for own in samples)
        if first != second:
            raise PrunusError(
                f"a {type(models[0]).__name__} reads {first}, and a {type(models[1]).__name__}"
                f" {second}: bench times a model and what became of it"
            )
        # a vocabulary may be cut, and the smallest of the largest numbers is one that both know
        sample = min(samples, key=lambda own: max(float(one.max()) for one in own.values()))
        counted = cache(partial(work, models, sample))
        return cls(sample, length if "input_ids" in sample else None, counted)


def _runtimes(sides: tuple[Side, Side], asked: Asked) -> list[tuple[str, str]]:
    """(runtime, dtype) of every comparison: those asked for, or that of what was exported.

    Raises:
        PrunusError: they do not fit what shall be timed.
    """
    facts = [side.facts for side in sides]
    if facts == [None, None]:
        for runtime in asked.runtime:
            require(runtime, asked.dtype)
        return [(runtime, asked.dtype) for runtime in asked.runtime]
    if None in facts:
        raise PrunusError("bench times two checkpoints or two exports of them, not one of each")
    if asked.model_fields_set & {"runtime", "dtype"}:
        raise PrunusError("an export has its runtime and dtype: leave out --runtime and --dtype")
    names = list(dict.fromkeys((own.to, own.dtype) for own in facts if own is not None))
    if len(names) == 1:
        return names
    if not asked.across:
        told = " and ".join(" ".join(name) for name in names)
        raise PrunusError(
            f"these are {told}: a ratio of both is no merit of pruning alone; --across shows it"
        )
    (before, first), (after, second) = names
    return [(_arrow(before, after), _arrow(first, second))]


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} to {after}"


def _cells(
    runtime: str,
    dtype: str,
    sides: tuple[Side, Side],
    models: Models,
    calls: list[_Call],
    asked: Asked,
    bars: Bars,
) -> Iterator[Cell]:
    with TemporaryDirectory() as folder:
        if sides[0].facts is None:
            opens = paired(runtime, dtype, models, calls[0].sample, Path(folder), fixed=asked.fixed)
        else:
            opens = [exported(side.folder, fixed=asked.fixed) for side in sides]
        for count, call, size in product(asked.threads, calls, asked.batch):
            opened = opens[0](count), opens[1](count)
            what = f"{runtime}, {show.call(size, call.length)}"
            taken = timed(
                opened, call.sample, size, threads=count, pairs=asked.pairs,
                step=partial(bars.step, what),
            )  # fmt: skip
            yield _cell(runtime, dtype, call, size, taken)


def _cell(runtime: str, dtype: str, call: _Call, size: int, taken: dict[str, Any]) -> Cell:
    dense, pruned = (size * own for own in call.work(runtime))
    return Cell(
        dtype=dtype,
        flops=schema.Pair(dense=dense, pruned=pruned),
        latency=schema.Latency(
            **taken, runtime=runtime, batch=size, length=call.length, ideal=dense / pruned
        ),
    )


def table_of(checkpoint: str, batch: int, length: int, threads: int, quiet: bool = False) -> Table:
    """What the widths of a checkpoint's sublayers cost in time, on random inputs.

    Args:
        checkpoint: dense or pruned.
        batch: samples in a call.
        length: tokens of a sample, where the model reads text.
        threads: how many threads torch computes with.
        quiet: show no progress.

    Raises:
        PrunusError: the checkpoint is missing, or has no positions for so many tokens.
    """
    model = open_model(folder_of(checkpoint))
    at = At(batch=batch, length=length, threads=threads)
    with Bars(quiet) as bars:
        return table_at(
            model, random_sample(model, length), at, partial(bars.step, "time sublayers")
        )
