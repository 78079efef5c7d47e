"""Opening a checkpoint whole: nothing missing, and products that round as they did."""

from typing import Any

from prunus.errors import PrunusError


class Whole:
    """Mixin before a model class: every tensor is saved, and one that is missing is an error."""

    @classmethod
    def from_pretrained(
        cls, path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """As in transformers, which would put random weights where a tensor is missing."""
        stock: Any = super()
        model, info = stock.from_pretrained(path, *args, output_loading_info=True, **kwargs)
        refuse_gaps(path, info)
        align(model)
        return (model, info) if output_loading_info else model

    def save_pretrained(self, folder: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers, which leaves out what it would compute anew, in the dense sizes."""
        self._keys_to_ignore_on_save: set[str] = set()
        stock: Any = super()
        stock.save_pretrained(folder, *args, **kwargs)


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
