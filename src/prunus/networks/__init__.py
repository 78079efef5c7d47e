"""Classic networks for images that transformers does not have, in plain torch.

Each file holds a configuration, a model ``...ForImageClassification`` that ``from_pretrained``
opens, and the settings by which a recipe makes a new one.
"""

from typing import Any

from prunus.registry import camel, load, names

HEAD = "ForImageClassification"


def model_of(network: str) -> Any:
    """The model class of a network, such as ``cifar_resnet``."""
    return getattr(load("networks", network), camel(network) + HEAD)


def named(cls: str) -> Any:
    """The model class ``CifarResnetForImageClassification`` and such; None where there is none."""
    return next((model_of(own) for own in names("networks") if camel(own) + HEAD == cls), None)
