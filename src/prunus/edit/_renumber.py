"""What follows when tokens went: the others have new ids, and configurations tell them."""

from typing import Any

from torch import Tensor, nn

from prunus.anatomy._vocabulary import IDS, SIZE, tellers
from prunus.errors import PrunusError

LOST = ("sequence_bias", "forced_decoder_ids")


def renumber(model: nn.Module, stays: Tensor) -> None:
    """Write the new ids and the new size into every configuration and module that tells them.

    Args:
        model: a transformers model, its embeddings already sliced.
        stays: [tokens] bool; a token's new id is the number of those before it that stay.

    Raises:
        PrunusError: the generation settings hold ids in a form that cannot be followed.
    """
    places = (stays.cumsum(0) - 1).tolist()
    settings = getattr(model, "generation_config", None)
    for name in LOST:
        if getattr(settings, name, None):
            raise PrunusError(
                f"{type(model).__name__}: generation_config.{name} tells tokens by number, which"
                " prunus cannot follow; set it to None"
            )
    for one in tellers(model):
        for name, value in list(vars(one).items()):
            if IDS.fullmatch(name):
                setattr(one, name, _moved(value, places))
            elif SIZE.fullmatch(name) and value == len(places):
                setattr(one, name, int(stays.sum()))


def _moved(value: Any, places: list[int]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_moved(part, places) for part in value)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(places)
    return places[value] if known else value
