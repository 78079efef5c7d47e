"""Repairs after pruning, and the touch-up that may follow them: one file a method."""

from prunus.recover._repair import Reader, Repair
from prunus.recover._touch_up import Pruned, TouchUp, Trained, parted

__all__ = ["Pruned", "Reader", "Repair", "TouchUp", "Trained", "parted"]
