"""Classes of pruned models, made from the stock ones: same forward pass, other sizes."""

from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from prunus.anatomy import family_of
from prunus.auto import config_class
from prunus.checkpoint._files import seal, verify
from prunus.checkpoint._packed import unpacked
from prunus.checkpoint._plain import plain_config, stock_of
from prunus.checkpoint._record import checked
from prunus.checkpoint._whole import Whole
from prunus.edit import own_classes, reshape
from prunus.errors import PrunusError
from prunus.foreign import require_sound

NOTHING = {"format": 1, "kept": {}}


class Pruned(Whole):
    """Mixin before a stock model class: builds the kept shapes, and checks what it loads."""

    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        """Build the dense shapes, then cut them to those that the configuration records."""
        stock: Any = super()
        config.__class__ = self.config_class.__mro__[1]  # a base made by AutoModel is dense too
        try:
            stock.__init__(config, *args, **kwargs)
        finally:
            config.__class__ = self.config_class
        kept = checked(getattr(config, "prunus", None) or NOTHING)["kept"]
        if kept:
            reshape(self, kept)

    @classmethod
    def from_pretrained(cls, path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but damage and missing tensors are errors."""
        if path is not None and Path(path).is_dir():
            verify(Path(path))
            require_sound(Path(path))
        return super().from_pretrained(path, *args, **kwargs)

    @classmethod
    def _load_pretrained_model(
        cls, model: Any, state: Any, files: Any, load_config: Any, *args: Any
    ) -> Any:
        """As in transformers, which is given packed weights whole."""
        record = getattr(model.config, "prunus", NOTHING)
        if "packed" in record:
            if "disk" in (load_config.device_map or {}).values():
                raise PrunusError(
                    'packed weights cannot stay on the disk: leave "disk" out of device_map, or'
                    " unpack the checkpoint first (prunus save CHECKPOINT OUT)"
                )
            state = unpacked(files, record["packed"])
            model.config.prunus = NOTHING | {"kept": record["kept"]}
        stock: Any = super()
        return stock._load_pretrained_model(model, state, files, load_config, *args)

    def save_pretrained(self, folder: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers, and leaves the files' hashes beside them."""
        super().save_pretrained(folder, *args, **kwargs)
        seal(Path(folder))


@cache
def model_class(stock: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The class of a pruned ``stock`` model: ``PrunusBertForSequenceClassification``."""
    body = {
        "config_class": config_class(stock.config_class),
        "__module__": __name__,
        "__doc__": f"A pruned :class:`{stock.__name__}`.",
    }
    return type(f"Prunus{stock.__name__}", (Pruned, stock), body)


def adopt(model: PreTrainedModel, plain: bool = True) -> PreTrainedModel:
    """Give a shrunk model, in place, the weakest class that can say its shapes.

    Uniform widths that the stock configuration can say need nothing of prunus; anything else gets
    a class and configuration of its own.

    Args:
        model: shrunk, or dense.
        plain: False gives it a class of its own whatever its shapes are.
    """
    record = getattr(getattr(model, "config", None), "prunus", NOTHING)
    if plain and not record["kept"] and not issubclass(type(model), Pruned):
        return model
    if record["kept"]:
        own_classes(model, family_of(model))
    stock = stock_of(model)
    config: Any = model.config
    vars(config).pop("auto_map", None)  # of the portable file that the model came from
    config.prunus = {**record}
    told = plain_config(model, stock) if plain else None
    if told is not None:
        vars(config).update(vars(told))
        vars(config).pop("prunus")
    model.__class__ = stock if told is not None else model_class(stock)
    config.__class__ = model.config_class
    return model
