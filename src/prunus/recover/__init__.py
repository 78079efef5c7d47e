"""Repairs after pruning: one file a method."""

from prunus.recover._repair import Reader, Repair

__all__ = ["Reader", "Repair"]
