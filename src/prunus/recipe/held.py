"""One process at a time in a folder that grows."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from prunus.errors import PrunusError
from prunus.files import write_bytes


@contextmanager
def held(out: Path, what: str) -> Iterator[None]:
    """Holds a folder while something is done in it.

    Args:
        out: the folder.
        what: is done there, in a word: study.

    Raises:
        PrunusError: another process holds it for the same; who that is, is told.
    """
    lock, holder = FileLock(out / f".{what}.lock"), out / f".{what}.holder"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise PrunusError(
            f"{out}: a {what} is running there already ({who}); wait for it, end it, or choose"
            " another --out"
        ) from None
    try:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        write_bytes(holder, f"process {os.getpid()} on {platform.node()} since {now}".encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
