"""What is examined."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prunus.doctor._ask import Answers, ask


@dataclass(frozen=True)
class Installation:
    """This Python, its packages, and the machine around it.

    Attributes:
        environment: environment variables by name.
        needed: extras, or ``compiler``, that must be there: what is absent is then a fault.
        root: below which the system's files (``proc``, ``sys``) are read.
    """

    environment: Mapping[str, str]
    needed: tuple[str, ...] = ()
    root: Path = Path("/")

    @cached_property
    def answers(self) -> Answers:
        """What a second Python saw when it imported everything; asked once, in seconds."""
        return ask(self.environment)

    def on(self, name: str) -> bool:
        """Whether an environment variable says yes, as the hub's client reads it."""
        return self.environment.get(name, "").upper() in {"1", "ON", "YES", "TRUE"}
