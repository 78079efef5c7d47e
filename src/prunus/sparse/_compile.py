"""A C file as a library of this machine: compiled once, and kept."""

import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from prunus.errors import PrunusError
from prunus.files import cache, keep

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-pthread")
OTHERS = stat.S_IWGRP | stat.S_IWOTH
NATIVE = "-mcpu=native" if platform.machine() in {"arm64", "aarch64"} else "-march=native"


def compiled(source: Path) -> Path:
    """The library that a C file makes, for exactly this processor.

    It is kept in $PRUNUS_CACHE (or ~/.cache/prunus) with its hash: a file that was damaged, or is
    of another source, compiler or processor, is made anew.

    Args:
        source: a C file that needs no other.

    Raises:
        PrunusError: there is no C compiler, it fails, or the cache cannot be written, or is
            another user's.
    """
    command = [*_compiler(), *FLAGS, NATIVE]
    facts = "\n".join((source.read_text("utf-8"), *command, _version(command[0]), _processor()))
    key = hashlib.sha256(facts.encode()).hexdigest()[:32]
    library = _own(cache(os.environ) / "sparse") / f"{source.stem}-{key}.so"
    if not _whole(library):
        made = _built(source, command)
        keep(library, made)
        keep(_beside(library), hashlib.sha256(made).hexdigest().encode())
    return library


def _own(folder: Path) -> Path:
    """A folder that nobody else writes to: what lies in it is run.

    Raises:
        PrunusError: it is another user's, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_mode & OTHERS:
            folder.chmod(0o700)  # which only the owner may
        mine = folder.stat().st_uid == os.getuid()
    except OSError as error:
        raise PrunusError(
            f"{folder} cannot be closed to others ({error.strerror}), and what lies in it is run;"
            " set PRUNUS_CACHE to a folder of your own"
        ) from None
    if not mine:
        raise PrunusError(
            f"{folder} is another user's, and kernels in it are run; set PRUNUS_CACHE to a folder"
            " of your own"
        )
    return folder


def _compiler() -> list[str]:
    """$CC, or the first that is there."""
    named = shlex.split(os.environ.get("CC", ""))
    for name in named[:1] or COMPILERS:
        found = shutil.which(name)
        if found:
            return [found, *named[1:]]
    raise PrunusError(
        f"there is no C compiler ({named[0] if named else ', '.join(COMPILERS)}); install one, such"
        " as with `apt-get install gcc`, or set CC to its path"
    )


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True)
    return done.stdout


def _processor() -> str:
    """What decides which instructions there are."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    told = (line for line in lines if line.startswith(("flags", "Features")))
    return next(told, f"{sys.platform} {platform.machine()} {platform.processor()}")


def _built(source: Path, command: list[str]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="prunus-") as folder:
        made = Path(folder) / "made.so"
        line = [*command, "-o", str(made), str(source)]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode or not made.exists():
            lines = done.stderr.splitlines() or [f"code {done.returncode}"]
            said = next((line for line in lines if "error" in line), lines[0])
            raise PrunusError(
                f"{shlex.join(line)} failed ({said}); set CC to a compiler of C that can, GCC 12 or"
                " Clang"
            )
        return made.read_bytes()


def _whole(library: Path) -> bool:
    try:
        told = _beside(library).read_text("ascii")
        return hashlib.sha256(library.read_bytes()).hexdigest() == told
    except (OSError, ValueError):
        return False


def _beside(library: Path) -> Path:
    return library.with_suffix(".sha256")
