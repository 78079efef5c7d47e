"""A torchvision that was built for another torch, which breaks transformers."""

from collections.abc import Iterator

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import fits, installed, pip, requirements

WHEELS = "https://download.pytorch.org/whl"


def check(here: Installation) -> Iterator[Finding]:
    """Compares the torch that torchvision asks for with the one that is here, and imports it."""
    torch, own = installed("torch"), installed("torchvision")
    errors = here.answers.errors
    error = errors.get("torchvision")
    built = next((need for need in requirements("torchvision") if need.name == "torch"), None)
    name = f"torchvision {own or ''}".strip()
    if torch and own and built and not fits(built, torch):
        yield _finding(f"{name} was built for torch{built.specifier}, but torch is {torch}", here)
    elif error and not errors.get("torch"):
        yield _finding(f"{name} cannot be imported beside torch {torch}: {error}", here)


def _finding(what: str, here: Installation) -> Finding:
    errors = here.answers.errors
    hurt = next((name for name in errors if name.startswith("transformers") and errors[name]), None)
    shown = f"; here {hurt} stops with {errors[hurt]!r}" if hurt else ""
    return Finding(
        what=what,
        why=f"transformers imports torchvision where it finds it, and then fails with an error that"
        f" speaks of something else{shown}. prunus does not use torchvision",
        mend=(pip("uninstall", "--yes", "torchvision"), matching(installed("torch") or "")),
    )


def matching(torch: str) -> str:
    """The command that puts the torchvision of the same build as a version of torch in place."""
    _, _, build = torch.partition("+")
    index = ("--extra-index-url", f"{WHEELS}/{build}") if build else ()
    gone = pip("uninstall", "--yes", "torchvision")
    return f"{gone} && {pip('install', f'torch=={torch}', 'torchvision', *index)}"
