"""What runs a model: torch in one of its ways, or what the model is exported to."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prunus.errors import PrunusError, unknown
from prunus.export import export, load
from prunus.measure.density import densities
from prunus.recipe._formats import bfloat16, int8
from prunus.recipe._settings import COMPILED, EAGER, SPARSE, known
from prunus.registry import build, find, names
from prunus.sparse import sparsify

DTYPES = ("float32", "bfloat16", "int8")
Batch = Mapping[str, Tensor]
Models = tuple[PreTrainedModel, PreTrainedModel]
Modules = tuple[nn.Module, nn.Module]
Opens = Callable[[int], nn.Module]
"""The model, to be called with so many threads."""


def require(runtime: str, dtype: str) -> None:
    """Check that a runtime is known and installed, and computes in a type.

    Raises:
        PrunusError: it is not, or does not.
    """
    known(runtime)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    refused = {(SPARSE, "bfloat16"), (SPARSE, "int8"), (COMPILED, "int8")}
    if (runtime, dtype) in refused:
        raise PrunusError(f"{runtime} does not compute in {dtype}; use {EAGER}, or openvino")
    if runtime in names("export"):
        build("export", {"name": runtime, "dtype": dtype}).require()


def opener(
    runtime: str,
    dtype: str,
    model: PreTrainedModel,
    batch: Batch,
    folder: Path,
    *,
    fixed: bool = False,
) -> Opens:
    """Get a model ready for a runtime.

    Args:
        runtime: one of :func:`prunus.recipe._settings.runtimes`.
        dtype: what it computes in: float32, bfloat16 or int8.
        model: on the processor; it is left as it is.
        batch: its inputs, by which it is exported.
        folder: an empty place for what is exported.
        fixed: let it be compiled for every shape of inputs anew, see :func:`prunus.export.load`.

    Raises:
        PrunusError: the runtime is unknown or not installed, or cannot run the model.
    """
    require(runtime, dtype)
    if fixed and runtime not in (able := _fixing()):
        raise PrunusError(f"{runtime} cannot be fixed to shapes; {' and '.join(able)} can")
    if runtime in names("export"):
        export(model, folder, build("export", {"name": runtime, "dtype": dtype}), [batch])
        return exported(folder, fixed=fixed)
    cast = {"bfloat16": bfloat16, "int8": int8}.get(dtype, lambda own: own)(model)
    if runtime == COMPILED:
        return lambda _: Compiled(cast)
    if runtime == SPARSE:
        cast = copy.deepcopy(cast)
        sparsify(cast)
    return lambda _: cast


def exported(folder: Path, *, fixed: bool) -> Opens:
    """An export, opened once for each number of threads; ``fixed`` as for :func:`opener`."""
    return cache(lambda threads: load(folder, threads, fixed=fixed))


def _fixing() -> list[str]:
    """The runtimes that gain from knowing the shapes of inputs."""
    every: Any = {name: find("export", name) for name in names("export")}
    return [name for name, exporter in every.items() if exporter.fixes]


def paired(
    runtime: str, dtype: str, models: Models, batch: Batch, folder: Path, *, fixed: bool = False
) -> list[Opens]:
    """Get a dense and a pruned model ready; one without zeros has nothing for sparse kernels.

    Raises:
        PrunusError: as :func:`opener`, or there is nothing for sparse kernels at all.
    """
    ways = [runtime] * len(models)
    if runtime == SPARSE:
        ways = [SPARSE if _zeros(model) else EAGER for model in models]
    if runtime not in ways:
        raise PrunusError(f"{SPARSE}: neither model has weights with zeros in them; use {EAGER}")
    return [
        opener(way, dtype, model, batch, folder / str(place), fixed=fixed)
        for place, (way, model) in enumerate(zip(ways, models, strict=True))
    ]


@contextmanager
def ready(runtime: str, models: Models, batch: Batch, threads: int) -> Iterator[Modules]:
    """A dense and a pruned model as a runtime runs them in float32, with so many threads.

    Raises:
        PrunusError: as :func:`paired`.
    """
    if runtime == EAGER:
        yield models
        return
    with TemporaryDirectory() as folder:
        dense, pruned = paired(runtime, "float32", models, batch, Path(folder))
        yield dense(threads), pruned(threads)


def _zeros(model: PreTrainedModel) -> bool:
    return any(layer.pruned for layer in densities(model).layers)


class Compiled(nn.Module):
    """A model compiled for each shape that it is called with."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        torch.compiler.reset()  # no more than a few shapes of one function are compiled, ever
        self.model = torch.compile(model, dynamic=False)

    def forward(self, **batch: Tensor) -> Any:
        """What the model gives.

        Raises:
            PrunusError: it cannot be compiled.
        """
        try:
            return self.model(**batch)
        except Exception as error:  # whatever torch, or the compiler of C++ that it needs, says
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise PrunusError(f"{COMPILED} cannot run the model: {first}") from error

    def generate(self, **_: Any) -> Any:
        """Nothing.

        Raises:
            PrunusError: texts are written by many calls of many shapes, each of them compiled anew.
        """
        raise PrunusError(f"{COMPILED} writes no texts; use {EAGER}, or openvino")
