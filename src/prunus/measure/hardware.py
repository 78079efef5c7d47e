"""On which machine and with which versions a number was measured."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

PACKAGES = ("prunus", "torch", "transformers", "datasets", "tokenizers", "numpy", "scikit-learn")


def hardware() -> dict[str, str | int | bool]:
    """The machine: processor, cores, threads, memory in bytes, and torch's arithmetic libraries."""
    facts: dict[str, str | int | bool] = {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "logical_cores": psutil.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "blas": _blas(),
        "mkldnn": torch.backends.mkldnn.is_available(),
        "system": platform.platform(),
    }
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _blas() -> str:
    """The library behind matrix products, as torch was built: ``mkl``, ``open``, ``accelerate``."""
    settings = torch.__config__.show()
    _, found, rest = settings.partition("BLAS_INFO=")
    return rest.split(",", 1)[0].strip() if found else "unknown"
