"""PyTorch's own exported programs (torch.export, ``.pt2``), run by torch."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.export._exporter import FREE, Exporter, Session, Sizes
from prunus.export._facts import Dtype, Stored
from prunus.export._trace import Traced, parameter
from prunus.probe._device import threads as using

LARGEST = 2**28
"""Bytes of the JSON in an archive."""


class Pt2(Exporter):
    """An exported program, with weights in 16 bits if so wished."""

    packages: ClassVar[tuple[str, ...]] = ("torch",)
    dtypes: ClassVar[tuple[Dtype, ...]] = ("float32", "bfloat16")
    fixes: ClassVar[bool] = False

    @property
    def traces(self) -> torch.dtype:
        """Its programs compute in what they were traced in."""
        return getattr(torch, self.dtype)

    def write(self, traced: Traced, folder: Path) -> str:
        """One ``.pt2`` file."""
        path = folder / f"{traced.stem}.pt2"
        torch.export.save(traced.program, path)
        return path.name

    def open(self, folder: Path, stored: Stored, threads: int, sizes: Sizes = FREE) -> Session:
        """The program as a module of torch, which computes with the threads that it is given."""
        _require_plain(folder / stored.file)
        try:
            module = torch.export.load(folder / stored.file).module(check_guards=False)
        except Exception as error:  # whatever unpacking a broken archive raises
            raise PrunusError(f"{folder / stored.file}: not readable ({error})") from None

        def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            with using(threads), torch.no_grad():
                return module(**{parameter(name): own for name, own in inputs.items()})

        return run


def _says(name: str) -> bool:
    return name.endswith(".json")


def _require_plain(path: Path) -> None:
    """Check that nothing in an archive runs code when it is opened.

    Raises:
        PrunusError: something does, or it is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if sum(one.file_size for one in archive.infolist() if _says(one.filename)) > LARGEST:
                raise PrunusError(f"{path}: not readable (what it says is larger than any program)")
            told = b"".join(archive.read(name) for name in names if _says(name))
    except (OSError, zipfile.BadZipFile) as error:
        raise PrunusError(f"{path}: not readable ({error})") from None
    if re.search(rb'"use_pickle"\s*:\s*true', told) or any("custom_obj" in name for name in names):
        raise PrunusError(f"{path} holds pickled objects, which could run any code: not opened")
