"""A model that is looked at, not trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter with a gradient, and no cache of keys and values made.

    A decoder would fill a cache in every pass; of passes that wait, many would be held at once.
    """
    training = [module for module in model.modules() if module.training]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    caching = _caching(model)
    try:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        for config in caching:
            config.use_cache = False
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in trained:
            parameter.requires_grad_(True)
        for config in caching:
            config.use_cache = True


def _caching(model: nn.Module) -> list[Any]:
    """Configurations, each once, of the parts that keep keys and values for generation."""
    configs = {id(c): c for module in model.modules() if (c := getattr(module, "config", None))}
    return [config for config in configs.values() if getattr(config, "use_cache", False)]
