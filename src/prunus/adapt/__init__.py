"""Deltas of few parameters on frozen weights, which are merged exactly."""

from prunus.adapt._adaptation import Adaptation
from prunus.adapt._adapter import Adapter
from prunus.adapt._attach import ADAPTER, adapted, attach, merge
from prunus.adapt._layer import Adapted
from prunus.adapt._learns import factors, freeze, groups, learns, trained_parameters
from prunus.adapt._settle import settle

__all__ = [
    "ADAPTER", "Adaptation", "Adapted", "Adapter", "adapted", "attach", "factors", "freeze",
    "groups", "learns", "merge", "settle", "trained_parameters",
]  # fmt: skip
