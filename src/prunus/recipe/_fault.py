"""Faults of a recipe, each with the setting that has it."""

from collections.abc import Sequence

from prunus.errors import PrunusError

Fault = tuple[str, str]
"""The dotted path of a setting, and what is wrong with it."""


class SettingsError(PrunusError):
    """Raised for settings that are wrong.

    Attributes:
        faults: each of them.
    """

    def __init__(self, told: str, faults: Sequence[Fault]) -> None:
        """All of it as one text, and one by one."""
        super().__init__(told)
        self.faults = tuple(faults)
