"""What every exporter is: settings that turn a traced graph into a file, and run it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
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


class Exporter(Part, ABC):
    """A file format of graphs, with the runtime that reads it.

    Attributes:
        packages: distributions that write and run it, whose versions are recorded.
        dtypes: what it computes in.
        dtype: what it shall compute in.
    """

    packages: ClassVar[tuple[str, ...]]
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16", "int8")
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
    def open(self, folder: Path, stored: Stored, threads: int) -> Session:
        """Make ready to run what :meth:`write` wrote.

        Args:
            folder: where it lies.
            stored: its file, inputs and outputs.
            threads: how many it computes with.
        """


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
