"""Batches without their labels."""

from torch import nn
from transformers.utils.generic import find_labels

from prunus.loss._fit import inner
from prunus.probe.loss import Batch


def unlabelled(model: nn.Module, batch: Batch) -> Batch:
    """A batch without labels, so that no loss is made; a decoder that reads them still does."""
    head = inner(model)
    labels = set(find_labels(type(head)))
    rest = {name: tensor for name, tensor in batch.items() if name not in labels}
    shifted = getattr(head, "prepare_decoder_input_ids_from_labels", None)
    if shifted is not None and "labels" in batch and "decoder_input_ids" not in batch:
        rest["decoder_input_ids"] = shifted(labels=batch["labels"])
    return rest
