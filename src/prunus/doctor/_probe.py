"""Imports what prunus imports and prints what it sees, a JSON object a line, as it goes."""

import importlib
import importlib.util
import json
import warnings
from typing import Any

from prunus.doctor._rates import rates

MODULES = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.vit.modeling_vit",
    "transformers.trainer",
    "datasets",
    "sklearn.linear_model",
    "scipy.linalg",
    "safetensors.torch",
    "accelerate",
)
"""In this order, up to the first that fails."""

OPTIONAL = ("torchvision",)
"""Tried where they are found: transformers imports them by itself."""


def main() -> None:
    """Import, then measure."""
    warnings.simplefilter("ignore")
    torch, *rest = MODULES
    if not _imports(torch):
        return  # all else needs it
    all(_imports(name) for name in rest)
    for name in filter(importlib.util.find_spec, OPTIONAL):
        _imports(name)
    _say(openmp=_openmp(), **_torch())


def _imports(name: str) -> bool:
    _say(begins=name)
    try:
        importlib.import_module(name)
        error = None
    except BaseException as problem:  # a broken package may raise anything, SystemExit as well
        first = next(iter(str(problem).strip().splitlines()), "")
        error = f"{type(problem).__name__}: {first}"
    _say(imported=name, error=error)
    return error is None


def _torch() -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "lapack": torch._C.has_lapack,
        "onednn": torch.backends.mkldnn.is_available(),
        "cuda_build": torch.version.cuda,
        "cuda": torch.cuda.is_available(),
    }
    torch.set_num_threads(1)
    told = rates()
    facts["blas_rate"] = told["BLAS"]
    if "oneDNN" in told:
        facts["onednn_rate"] = told["oneDNN"]
    return facts


def _openmp() -> list[str]:
    """The files of the OpenMP runtimes that are now loaded."""
    from threadpoolctl import threadpool_info

    return [one["filepath"] for one in threadpool_info() if one["user_api"] == "openmp"]


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
