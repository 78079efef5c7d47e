"""Whether the packages that prunus builds on can be imported at all."""

from collections.abc import Iterator

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import installed, pip

PACKAGES = {"sklearn": "scikit-learn"}
"""What is installed under another name than it is imported by."""


def check(here: Installation) -> Iterator[Finding]:
    """Reports the first module that fails: those after it are not tried."""
    errors = here.answers.errors
    if errors.get("torchvision"):
        return  # breaks transformers, too, and has a check of its own
    failed = next((name for name, error in errors.items() if error), None)
    if failed is not None:
        yield _broken(failed, str(errors[failed]))
    elif here.answers.ended:
        yield Finding(
            what=f"the packages import, but: {here.answers.ended}",
            why="a library that is loaded brings Python down",
            mend=(pip("install", "--force-reinstall", "torch", "scikit-learn"),),
        )


def _broken(module: str, error: str) -> Finding:
    package = module.partition(".")[0]
    package = PACKAGES.get(package, package)
    version = installed(package)
    exact = f"{package}=={version}" if version else package
    return Finding(
        what=f"{module} cannot be imported: {error}",
        why=f"nothing that computes works without {package}",
        mend=(pip("install", "--force-reinstall", exact),),
    )
