"""Repairs after pruning: one file a method."""

from prunus.recover._repair import Repair

__all__ = ["Repair"]
