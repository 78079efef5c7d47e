"""A graphics card that torch does not use."""

from collections.abc import Iterator

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import pip

DRIVER = "proc/driver/nvidia/version"


def check(here: Installation) -> Iterator[Finding]:
    """Compares the driver that is there with what torch was built for."""
    facts = here.answers.facts
    if not (here.root / DRIVER).exists() or facts.get("cuda", True):
        return
    built = facts["cuda_build"]
    if here.environment.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return
    if built is None:
        yield Finding(
            what="this machine has an NVIDIA driver, but torch was built for the processor alone",
            why="device=cuda does not work; device=cpu does",
            mend=(pip("install", "--force-reinstall", "torch"),),
            fault=False,
        )
    else:
        yield Finding(
            what=f"torch was built for CUDA {built}, but finds no device that it can use",
            why="device=cuda does not work: the driver is older than torch needs, or the device is"
            " not handed to this container",
            mend=("nvidia-smi",),
        )
