"""What torchrun and accelerate tell each of the processes that they start."""

import os

from prunus.errors import PrunusError


class Parted(PrunusError):
    """Another process has ended, which says itself why."""


def processes() -> int:
    """How many were started, whether they have met by now or not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def speaks() -> bool:
    """Whether this is the one that prints."""
    return processes() == 1 or os.environ.get("RANK", "0") == "0"
