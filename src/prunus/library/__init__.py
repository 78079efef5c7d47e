"""Tuned modules, kept under the hash of what they depend on: made once, used in every model."""

from prunus.library._entry import Entry
from prunus.library._fill import Filled, fill
from prunus.library._gc import Removal, gc
from prunus.library._hashes import data_hash, weights_hash
from prunus.library._key import Key, sha256
from prunus.library._library import Library, place
from prunus.library._module import Module

__all__ = [
    "Entry", "Filled", "Key", "Library", "Module", "Removal", "data_hash", "fill", "gc", "place",
    "sha256", "weights_hash",
]  # fmt: skip
