"""Low-rank deltas on frozen weights, which are cut with their layers and merged exactly."""

from prunus.adapt._adaptation import Adaptation
from prunus.adapt._adapter import Adapter
from prunus.adapt._attach import ADAPTER, adapted, attach, merge
from prunus.adapt._layer import Adapted
from prunus.adapt._learns import freeze, learns, trained_parameters

__all__ = [
    "ADAPTER", "Adaptation", "Adapted", "Adapter", "adapted", "attach", "freeze", "learns", "merge",
    "trained_parameters",
]  # fmt: skip
