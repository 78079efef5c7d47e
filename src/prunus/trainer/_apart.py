"""Networks that FSDP takes apart: a copy is trained, and what it learns is written back."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch

from prunus.errors import PrunusError
from prunus.sharded import whole

PLAIN = "start the run with torchrun alone, which gives every process the whole network (DDP)"


def _asked(what: str) -> bool:
    """Whether accelerate was told to use it."""
    return os.environ.get(f"ACCELERATE_USE_{what}", "false").lower() == "true"


def require_plain(said: Iterable[str]) -> None:
    """Check what accelerate was told, before anything is trained.

    Args:
        said: what the training asks for that needs the whole network in every process.

    Raises:
        PrunusError: it was told to use DeepSpeed, or FSDP for a training that asks for such.
    """
    if _asked("DEEPSPEED"):
        raise PrunusError(
            "accelerate: DeepSpeed keeps gradients and weights in flat pieces, in which no unit can"
            f" be scored or held at zero; use FSDP2 (fsdp_version: 2), or {PLAIN}"
        )
    for what in said if _asked("FSDP") else ():
        raise PrunusError(
            f"accelerate: {what}: not where FSDP takes the network apart; leave it out, or {PLAIN}"
        )


def require_second(accelerator: Any) -> None:
    """Check that FSDP, if accelerate was told to use it, is what can be pruned in.

    Raises:
        PrunusError: it is version 1, or accelerate does not use it on this device.
    """
    if _asked("FSDP") and not accelerator.is_fsdp2:
        raise PrunusError(
            f"accelerate: FSDP on {accelerator.device.type}, version"
            f" {os.environ.get('FSDP_VERSION', '1')}: units can be held at zero in version 2 alone"
            f" (fsdp_version: 2), which accelerate uses on GPUs; or {PLAIN}"
        )


@contextmanager
def taken_apart(model: Any) -> Iterator[Any]:
    """What is trained for a model, which has the weights when the block ends.

    That is the model itself, unless FSDP takes it apart: it then waits in the processor's memory.
    """
    if not _asked("FSDP"):
        yield model
        return
    device, copy = model.device, deepcopy(model)
    model.to("cpu")
    yield copy
    own = {**dict(copy.named_parameters()), **dict(copy.named_buffers())}
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            tensor.copy_(whole(own[name]))
    model.to(device)
