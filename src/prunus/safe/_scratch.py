"""Where the processes that share a run write, all but the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prunus import ranks


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """A folder of this rank alone, on the disk of ``out`` where that has one here; it goes."""
    beside = out.absolute().parent
    where = beside if beside.is_dir() else None
    with TemporaryDirectory(prefix=f".{out.name}.rank{ranks.rank()}-", dir=where) as name:
        yield Path(name)
