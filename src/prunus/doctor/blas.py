"""Matrix products on a slow path."""

import platform
from collections.abc import Iterator, Mapping
from typing import Any

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import pip

SLOW = 1 / 3
"""Of the faster library's rate: below it something holds a library back."""
MODEST = 2 / 3
"""Below it a library does not use all that the processor has."""
BRAKES = {
    "BLAS": ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    "oneDNN": ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
}
"""Environment variables that keep a library from instructions that the processor has."""


def check(here: Installation) -> Iterator[Finding]:
    """Compares a float32 product by BLAS with the same by oneDNN, in one process on one thread.

    oneDNN writes its kernels for the processor that it finds, whoever made it, so that the faster
    of the two is near what the instruction set allows.
    """
    facts = here.answers.facts
    if "blas_rate" not in facts:
        return
    if not facts["lapack"] or (_x86() and not facts["onednn"]):
        yield Finding(
            what="this torch was built without a fast library for matrix products",
            why="everything takes many times as long",
            mend=(pip("install", "--force-reinstall", "torch"),),
        )
    elif _x86():
        yield from _compared(here, facts)


def _x86() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64"}


def _compared(here: Installation, facts: Mapping[str, Any]) -> Iterator[Finding]:
    rates = {"BLAS": facts["blas_rate"], "oneDNN": facts["onednn_rate"]}
    (slow, least), (fast, most) = sorted(rates.items(), key=lambda item: item[1])
    told = f"{slow} multiplies at {least / 1e9:.0f} GFLOP/s where {fast} does {most / 1e9:.0f}"
    if least < SLOW * most:
        brakes = [name for name in BRAKES[slow] if name in here.environment]
        cause = f", with {', '.join(brakes)} set" if brakes else ""
        reinstalled = pip("install", "--force-reinstall", "torch")
        yield Finding(
            what=f"float32 products of torch are on a slow path: {told}{cause}",
            why="pruning takes longer, and timings say little about other machines",
            mend=(f"unset {' '.join(brakes)}" if brakes else reinstalled,),
        )
    elif slow == "BLAS" and least < MODEST * most:
        yield Finding(
            what=f"float32 products of torch do not use all that this processor has: {told}",
            why="MKL chooses by the processor's maker. Dense and pruned models are slowed alike:"
            " compare times of one runtime only. Products in bfloat16 are not slowed",
            mend=("prunus run RECIPE calibration.precision=bfloat16",),
            fault=False,
        )
