"""Lengths of training as people write them: ``100``, ``"100 steps"``, ``"1.5 epochs"``."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from prunus.errors import PrunusError

FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?)?")


@dataclass(frozen=True)
class Length:
    """A number of optimizer steps, or of epochs."""

    number: float
    epochs: bool = False

    @classmethod
    def parse(cls, value: Any) -> "Length":
        """A length from how people write it.

        Raises:
            PrunusError: it is none.
        """
        if isinstance(value, Length):
            return value
        found = FORM.fullmatch(str(value).strip())
        if found is None or isinstance(value, bool):
            raise PrunusError(
                f"{value!r} is no length of training: write 100 (steps) or 1.5 epochs"
            )
        epochs = (found[2] or "").startswith("epoch")
        if not epochs and not float(found[1]).is_integer():
            raise PrunusError(f"{value!r}: steps are whole; write 1.5 epochs, or a whole number")
        return cls(float(found[1]), epochs)

    def steps(self, epoch: int | None) -> int:
        """In steps, where an epoch has so many.

        Raises:
            PrunusError: it is in epochs, and nobody said how many steps one has.
        """
        if self.epochs and epoch is None:
            raise PrunusError(f"{self}: say how many steps an epoch has, or count in steps")
        return int(self.number * (epoch if self.epochs and epoch else 1))

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.number:g} {'epochs' if self.epochs else 'steps'}"


Span = Annotated[Length, BeforeValidator(Length.parse), PlainSerializer(str)]
"""Steps or epochs."""
