"""What every exporter is: settings that turn a traced graph into a file, and run it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import field_validator
from torch import Tensor

from prunus.errors import PrunusError
from prunus.export._facts import Dtype, Stored
from prunus.export._trace import Traced
from prunus.registry import Part

Session = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Runs one graph: tensors by the names of its inputs, to tensors by the names of its outputs."""
Sizes = Mapping[str, int]
"""Of axes whose size may change, by their names."""
FREE: Sizes = {}


class Exporter(Part, ABC):
    """A file format of graphs, with the runtime that reads it.

    Attributes:
        packages: distributions that write and run it, whose versions are recorded.
        dtypes: what it computes in.
        fixes: whether its runtime gains from knowing the shapes of inputs.
        dtype: what it shall compute in.
    """

    packages: ClassVar[tuple[str, ...]]
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16", "int8")
    fixes: ClassVar[bool] = True
    dtype: Dtype = "float32"

    @field_validator("dtype")
    @classmethod
    def _runs(cls, dtype: Dtype) -> Dtype:
        if dtype not in cls.dtypes:
            raise PrunusError(
                f"{cls.__name__.lower()} does not run {dtype} on a processor, only"
                f" {', '.join(cls.dtypes)}; openvino runs them all"
            )
        return dtype

    def require(self) -> None:
        """Import what writes and runs it, before there is anything to write.

        Raises:
            PrunusError: one of the packages is not installed.
        """
        for package in self.packages:
            need(package)

    @property
    def traces(self) -> torch.dtype:
        """In which dtype models are traced."""
        return torch.float32

    @abstractmethod
    def write(self, traced: Traced, folder: Path) -> str:
        """Write a traced graph, its inputs and outputs under their names.

        Returns:
            The name of the file that :meth:`open` opens.
        """

    @abstractmethod
    def open(self, folder: Path, stored: Stored, threads: int, sizes: Sizes = FREE) -> Session:
        """Make ready to run what :meth:`write` wrote.

        Args:
            folder: where it lies.
            stored: its file, inputs and outputs.
            threads: how many it computes with.
            sizes: of every axis, to run inputs of these alone; of none, to run any.

        Raises:
            PrunusError: the file is broken.
        """

    def fixed(self, folder: Path, stored: Stored, threads: int) -> Session:
        """A session that is opened anew for the sizes of each call that it has not seen.

        Raises:
            PrunusError: the runtime gains nothing by that.
        """
        if not self.fixes:
            name = type(self).__name__.lower()
            raise PrunusError(f"{name} computes alike for every shape; leave out fixed")
        known: dict[frozenset[tuple[str, int]], Session] = {}

        def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            sizes = dict(_sizes(stored, inputs))
            key = frozenset(sizes.items())
            if key not in known:
                known[key] = self.open(folder, stored, threads, sizes)
            return known[key](inputs)

        return run


def _sizes(stored: Stored, inputs: Mapping[str, Tensor]) -> Iterator[tuple[str, int]]:
    for name, own in inputs.items():
        for axis, size in zip(stored.inputs[name].axes, own.shape, strict=True):
            if isinstance(axis, str):
                yield axis, size


def need(package: str) -> Any:
    """A package of the extra ``export``, imported.

    Raises:
        PrunusError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise PrunusError(
            f'{package} is needed, but: {error}; install it: pip install "prunus[export]"'
        ) from None
