"""Compilers of C and C++."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation


@dataclass(frozen=True)
class Language:
    """What is compiled.

    Attributes:
        name: as people call it.
        variable: names a compiler in the environment.
        compilers: else the first of these is taken.
        option: what compilers call it.
        program: a line of it.
        why: who needs it.
    """

    name: str
    variable: str
    compilers: tuple[str, ...]
    option: str
    program: str
    why: str


LANGUAGES = (
    Language(
        name="C++",
        variable="CXX",
        compilers=("c++", "g++", "clang++", "cl"),
        option="c++",
        program="#include <vector>\nint main() { return std::vector<int>().size(); }\n",
        why="prunus itself has no C++; torch.compile and packages without a wheel do",
    ),
    Language(
        name="C",
        variable="CC",
        compilers=("cc", "gcc", "clang"),
        option="c",
        program="#include <stdint.h>\nint main(void) { return (int32_t)0; }\n",
        why="sparse layers are compiled when first used; numba's, in their place, are slower",
    ),
)
INSTALLERS = {
    "apt-get": "apt-get install g++",
    "dnf": "dnf install gcc-c++",
    "apk": "apk add g++",
    "xcode-select": "xcode-select --install",
}


def check(here: Installation) -> Iterator[Finding]:
    """Looks for a compiler of each language, and compiles one line with it."""
    for language in LANGUAGES:
        yield from _checked(language, here)


def _checked(language: Language, here: Installation) -> Iterator[Finding]:
    path = here.environment.get("PATH")
    named = here.environment.get(language.variable)
    names = (named.split()[0],) if named else language.compilers
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        yield Finding(
            what=f"{language.variable} names {named!r}, which is not there"
            if named
            else f"there is no {language.name} compiler",
            why=language.why,
            mend=(f"unset {language.variable}",) if named else _install(path),
            fault=bool(named) or "compiler" in here.needed,
        )
    elif not found.endswith("cl.EXE"):
        yield from _tried(language, found, here)


def _install(path: str | None) -> tuple[str, ...]:
    present = (line for tool, line in INSTALLERS.items() if shutil.which(tool, path=path))
    return tuple(present)[:1] or ("conda install -c conda-forge cxx-compiler",)


def _tried(language: Language, compiler: str, here: Installation) -> Iterator[Finding]:
    command = [compiler, "-x", language.option, "-fsyntax-only", "-"]
    try:
        done = subprocess.run(
            command,
            input=language.program,
            env=dict(here.environment),
            capture_output=True,
            text=True,
        )
        problem = done.stderr.strip().partition("\n")[0] if done.returncode else ""
    except OSError as error:
        problem = str(error)
    if problem:
        yield Finding(
            what=f"the {language.name} compiler {compiler} cannot compile: {problem}",
            why=language.why,
            mend=_install(here.environment.get("PATH")),
            fault="compiler" in here.needed,
        )
