"""Safe points: what a long piece of work has found, so that one that was cut off goes on."""

from prunus.safe._kept import Kept, pack, unpack
from prunus.safe._points import SafePoints

__all__ = ["Kept", "SafePoints", "pack", "unpack"]
