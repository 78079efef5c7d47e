"""Changing models by plans: ``mask`` is reversible and differentiable, ``shrink`` is physical."""

from prunus.edit._held import Held
from prunus.edit._resize import PORTABLE, drop_adapter, emptiable, mixed, own_classes
from prunus.edit.dead import dead, remove_dead
from prunus.edit.group_lasso import group_lasso
from prunus.edit.mask import mask
from prunus.edit.partly import partly
from prunus.edit.proof import prove
from prunus.edit.settle import settle
from prunus.edit.shrink import reshape, shrink

__all__ = [
    "PORTABLE",
    "Held",
    "dead",
    "drop_adapter",
    "emptiable",
    "group_lasso",
    "mask",
    "mixed",
    "own_classes",
    "partly",
    "prove",
    "remove_dead",
    "reshape",
    "settle",
    "shrink",
]
