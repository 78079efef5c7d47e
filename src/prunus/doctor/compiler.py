"""A C++ compiler."""

import shutil
import subprocess
from collections.abc import Iterator

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation

COMPILERS = ("c++", "g++", "clang++", "cl")
INSTALLERS = {
    "apt-get": "apt-get install g++",
    "dnf": "dnf install gcc-c++",
    "apk": "apk add g++",
    "xcode-select": "xcode-select --install",
}
PROGRAM = "#include <vector>\nint main() { return std::vector<int>().size(); }\n"
WHY = "prunus itself compiles nothing; torch.compile and packages without a wheel do"


def check(here: Installation) -> Iterator[Finding]:
    """Looks for a compiler, as torch does, and compiles one line with it."""
    path = here.environment.get("PATH")
    named = here.environment.get("CXX")
    found = next(filter(None, (shutil.which(name, path=path) for name in _names(named))), None)
    if found is None:
        yield Finding(
            what=f"CXX names {named!r}, which is not there"
            if named
            else "there is no C++ compiler",
            why=WHY,
            mend=("unset CXX",) if named else _install(path),
            fault=bool(named) or "compiler" in here.needed,
        )
    elif not found.endswith("cl.EXE"):
        yield from _tried(found, here)


def _names(named: str | None) -> tuple[str, ...]:
    return (named.split()[0],) if named else COMPILERS


def _install(path: str | None) -> tuple[str, ...]:
    present = (line for tool, line in INSTALLERS.items() if shutil.which(tool, path=path))
    return tuple(present)[:1] or ("conda install -c conda-forge cxx-compiler",)


def _tried(compiler: str, here: Installation) -> Iterator[Finding]:
    command = [compiler, "-x", "c++", "-fsyntax-only", "-"]
    try:
        done = subprocess.run(
            command, input=PROGRAM, env=dict(here.environment), capture_output=True, text=True
        )
        problem = done.stderr.strip().partition("\n")[0] if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem:
        yield Finding(
            what=f"the C++ compiler {compiler} cannot compile: {problem}",
            why=WHY,
            mend=_install(here.environment.get("PATH")),
            fault="compiler" in here.needed,
        )
