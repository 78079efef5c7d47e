"""What a configuration records of what was kept, as a file may say it."""

from typing import Annotated, Any

from pydantic import Field

from prunus.formats import Format
from prunus.registry import Part, parse

FORMAT = Format("checkpoint", 2, {1: dict})
"""Written are 1, and 2 where weights are packed."""

Count = Annotated[int, Field(ge=0, lt=2**31)]
Size = Annotated[int, Field(gt=0, lt=2**31)]


class _Packed(Part):
    shape: Annotated[tuple[Size, ...], Field(min_length=2, max_length=5)]
    block: tuple[Size, Size]


class _Record(Part):
    format: int
    kept: dict[str, Count | tuple[Count, ...]]
    packed: dict[str, _Packed] = Field(default_factory=dict)


def checked(record: Any) -> dict[str, Any]:
    """A record of any format, in the present one.

    Raises:
        PrunusError: it is none, or a newer prunus wrote it.
    """
    found = FORMAT.current(record)
    parse(_Record, "config.json: prunus", found)
    return found
