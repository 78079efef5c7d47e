"""Classes of pruned models, made from the stock ones: same forward pass, other sizes."""

from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from prunus.auto import config_class
from prunus.checkpoint._files import seal, verify
from prunus.checkpoint._plain import plain_config
from prunus.edit import reshape
from prunus.errors import PrunusError

NOTHING = {"format": 1, "kept": {}}


class Pruned:
    """Mixin before a stock model class: builds the kept shapes, and checks what it loads."""

    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        """Build the dense shapes, then cut them to those that the configuration records."""
        stock: Any = super()
        config.__class__ = self.config_class.__mro__[1]  # a base made by AutoModel is dense too
        try:
            stock.__init__(config, *args, **kwargs)
        finally:
            config.__class__ = self.config_class
        record = getattr(config, "prunus", None) or NOTHING
        if record["format"] != NOTHING["format"]:
            raise PrunusError(
                f"checkpoint format {record['format']}; this prunus reads {NOTHING['format']}:"
                " install the prunus that wrote it"
            )
        reshape(self, record["kept"])

    @classmethod
    def from_pretrained(
        cls, path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """As in transformers, but a checkpoint that does not hold every tensor is an error."""
        if path is not None and Path(path).is_dir():
            verify(Path(path))
        stock: Any = super()
        model, info = stock.from_pretrained(path, *args, output_loading_info=True, **kwargs)
        refuse_gaps(path, info)
        align(model)
        return (model, info) if output_loading_info else model

    def save_pretrained(self, folder: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers, and leaves the files' hashes beside them."""
        stock: Any = super()
        self._keys_to_ignore_on_save = set()  # stock code would compute those anew, for all widths
        stock.save_pretrained(folder, *args, **kwargs)
        seal(Path(folder))


def refuse_gaps(path: Any, info: Any) -> None:
    """Raise when tensors were missing or of another shape: transformers would invent them.

    Raises:
        PrunusError: naming the tensors.
    """
    for fault in ("missing_keys", "mismatched_keys"):
        keys = [str(key) for key in info[fault]]
        if keys:
            what = fault.removesuffix("_keys")
            raise PrunusError(
                f"{path}: {len(keys)} tensors are {what} ({', '.join(sorted(keys)[:3])} ...); the"
                " file is incomplete, or the model was opened with a head it was not saved with"
            )


def align(model: Any) -> None:
    """Move weights off the odd places that they have in a file: their products round alike then."""
    for parameter in model.parameters():
        if parameter.data_ptr() % ALIGNMENT:
            parameter.data = parameter.data.clone()


ALIGNMENT = 64
"""Bytes; what torch gives to tensors that it makes."""


@cache
def model_class(stock: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The class of a pruned ``stock`` model: ``PrunusBertForSequenceClassification``."""
    body = {
        "config_class": config_class(stock.config_class),
        "__module__": __name__,
        "__doc__": f"A pruned :class:`{stock.__name__}`.",
    }
    return type(f"Prunus{stock.__name__}", (Pruned, stock), body)


def adopt(model: PreTrainedModel) -> PreTrainedModel:
    """Give a shrunk model, in place, the weakest class that can say its shapes.

    Uniform widths that the stock configuration can say need nothing of prunus; anything else gets
    a class and configuration of its own.
    """
    if not getattr(model.config, "prunus", NOTHING)["kept"]:
        return model
    stock = next(cls for cls in type(model).__mro__ if cls.__module__.startswith("transformers."))
    plain = plain_config(model, stock)
    config: Any = model.config
    if plain is not None:
        vars(config).update(vars(plain))
        vars(config).pop("prunus")
    model.__class__ = stock if plain is not None else model_class(stock)
    config.__class__ = model.config_class
    return model
