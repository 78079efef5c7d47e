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
    config: Any = getattr(model, "config", None)
    caches = getattr(config, "use_cache", False)
    try:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        if caches:
            config.use_cache = False
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in trained:
            parameter.requires_grad_(True)
        if caches:
            config.use_cache = caches
