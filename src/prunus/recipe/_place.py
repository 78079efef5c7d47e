"""Where the processes that share a run write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prunus import ranks
from prunus.files import folder_beside


@contextmanager
def place(out: Path) -> Iterator[Path]:
    """The fresh folder of a run for the first rank; for the others one that leaves nothing."""
    if ranks.first():
        with folder_beside(out) as folder:
            yield folder
    else:
        with scratch(out) as folder:
            yield folder


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """A folder of this rank alone, on the disk of ``out`` where that has one here; it goes."""
    beside = out.absolute().parent
    where = beside if beside.is_dir() else None
    with TemporaryDirectory(prefix=f".{out.name}.rank{ranks.rank()}-", dir=where) as name:
        yield Path(name)
