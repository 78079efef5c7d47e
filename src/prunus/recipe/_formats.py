"""The dense model in narrower number formats, as torch itself offers them."""

import copy
import warnings
from typing import Any

import torch
from transformers import PreTrainedModel

from prunus.errors import PrunusError


def bfloat16(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that computes in bfloat16."""
    twin: Any = copy.deepcopy(model)
    return twin.to(torch.bfloat16)


def int8(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose linear layers multiply in int8.

    Weights are rounded ahead, a scale for each output; inputs as they come, a scale for each call.
    This is torch's ``quantize_dynamic``, which torch calls deprecated in favour of a package of its
    own, but which is all that torch alone has.

    Raises:
        PrunusError: the model is not on the processor, or this torch has no such function.
    """
    if model.device.type != "cpu":
        raise PrunusError(f"int8 runs on the processor only; the model is on {model.device}")
    try:
        from torch.ao.quantization import quantize_dynamic
        from torch.ao.quantization.qconfig import per_channel_dynamic_qconfig
    except ImportError:
        raise PrunusError(f"torch {torch.__version__} has no quantize_dynamic any more") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations
        return quantize_dynamic(model, {torch.nn.Linear: per_channel_dynamic_qconfig})
