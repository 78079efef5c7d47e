"""Changing models by plans: ``mask`` is reversible and differentiable, ``shrink`` is physical."""

from prunus.edit._resize import PORTABLE, emptiable, own_classes
from prunus.edit.dead import dead, remove_dead
from prunus.edit.mask import mask
from prunus.edit.shrink import reshape, shrink

__all__ = [
    "PORTABLE",
    "dead",
    "emptiable",
    "mask",
    "own_classes",
    "remove_dead",
    "reshape",
    "shrink",
]
