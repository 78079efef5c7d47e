"""Two OpenMP runtimes in one process."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import US

MAKERS = {"libgomp": "GNU", "libiomp": "Intel", "libomp": "LLVM", "vcomp": "Microsoft"}


def check(here: Installation) -> Iterator[Finding]:
    """Looks at what is loaded once everything is imported."""
    files: Sequence[str] = here.answers.facts.get("openmp", ())
    makers = sorted({_maker(file) for file in files})
    if len(makers) > 1:
        yield Finding(
            what=f"{' and '.join(makers)} OpenMP are in one process: {', '.join(files)}",
            why="two runtimes have threads and locks of their own: computing becomes slow, hangs,"
            " or stops with 'OMP: Error #15'",
            mend=(_mend(here, files),),
        )
    elif len(files) > 1:
        yield Finding(
            what=f"{len(files)} copies of the {makers[0]} OpenMP are loaded: {', '.join(files)}",
            why="packages bring their own; as long as they do not compute at once, no harm is done",
            fault=False,
        )


def _maker(file: str) -> str:
    name = Path(file).name
    return next((maker for prefix, maker in MAKERS.items() if name.startswith(prefix)), name)


def _mend(here: Installation, files: Sequence[str]) -> str:
    for variable in ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES"):
        held = here.environment.get(variable, "")
        if any(Path(file).name in held for file in files):
            return f"unset {variable}"
    return f"python3 -m venv fresh && fresh/bin/pip install {US}"
