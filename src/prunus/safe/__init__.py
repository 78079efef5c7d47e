"""Safe points: what a long piece of work has found, so that one that was cut off goes on."""

from prunus.safe._kept import Kept, pack, unpack
from prunus.safe._points import SafePoints
from prunus.safe._scratch import scratch
from prunus.safe._working import RECIPE, Work, differing, tidy

__all__ = [
    "RECIPE", "Kept", "SafePoints", "Work", "differing", "pack", "scratch", "tidy", "unpack",
]  # fmt: skip
