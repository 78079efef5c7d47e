"""From the latency that is meant to the one that is reached: measure, and correct the aim."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.measure._clock import Call, clock_of, evaluating
from prunus.measure.latency import Latency, latency
from prunus.probe._device import device_of, threads
from prunus.probe.work import single
from prunus.select._budget import At

CALLS = 15


def inputs(model: nn.Module, batch: Mapping[str, Tensor], at: At) -> dict[str, Tensor]:
    """The inputs of the call that is meant: the first sample of a batch, repeated or cut.

    Args:
        model: reads them.
        batch: {name: [sample, ...]}.
        at: how many samples, of how many tokens each.

    Raises:
        PrunusError: the model has no positions for so many tokens.
    """
    if any(tensor.dim() == 2 for tensor in batch.values()):
        require_positions(model, at.length)
    sample = single(batch, at.length)
    return {
        name: torch.cat([tensor] * at.batch)
        for name, tensor in sample.items()
        if not name.endswith("attention_mask")  # which would be all ones
    }


def require_positions(model: Any, length: int) -> None:
    """Check that a model can read so many tokens.

    Raises:
        PrunusError: it cannot.
    """
    most = positions(model)
    if most is not None and length > most:
        raise PrunusError(f"length {length}: the model has positions for {most} tokens")


def positions(model: Any) -> int | None:
    """How many tokens a model can read; None where its configuration sets no bound."""
    config = getattr(model.config, "text_config", model.config)
    return getattr(config, "max_position_embeddings", None) or None


def measured(model: nn.Module, batch: Mapping[str, Tensor], at: At) -> float:
    """Milliseconds of one call, the median of several: of computing, or on an accelerator's wall.

    Args:
        model: left in the mode it has.
        batch: keyword arguments of a forward pass, whose first sample is repeated.
        at: the call that is meant.

    Raises:
        PrunusError: the model has no positions for so many tokens.
    """
    fed, device = inputs(model, batch, at), device_of(model)
    which = ("cpu", "wall").index(clock_of(device))
    with threads(at.threads), evaluating(model):
        call = Call(lambda: model(**fed), device)
        return float(torch.tensor([call.time()[which] for _ in range(CALLS)]).median())


def paired(dense: nn.Module, pruned: nn.Module, batch: Mapping[str, Tensor], at: At) -> Latency:
    """Both models timed in turns by the call that is meant; ``speedup`` is dense / pruned.

    A table's ``dense`` / ``speedup`` is what the pruned model takes on the machine as it was when
    the table was measured: the figure to correct by, since a busy machine slows both models.

    Args:
        dense: the model before.
        pruned: the model after.
        batch: keyword arguments of a forward pass, whose first sample is repeated.
        at: the call that is meant.

    Raises:
        PrunusError: the models have no positions for so many tokens.
    """
    return latency(dense, pruned, inputs(dense, batch, at), threads=at.threads, pairs=CALLS)


def correct(target: float, predicted: float, measured: float) -> float:
    """The latency to aim at next, by how far a prediction was off: target * predicted / measured.

    Args:
        target: what shall be reached, in milliseconds.
        predicted: what the table said of the plan that was made for the target.
        measured: what the model pruned by that plan takes.

    Raises:
        PrunusError: one of them is not above 0.
    """
    if min(target, predicted, measured) <= 0:
        raise PrunusError(
            f"latencies must be above 0 ms; got target {target}, predicted {predicted}, measured"
            f" {measured}"
        )
    return target * predicted / measured
