"""What a pruner refuses before the first step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from prunus.errors import PrunusError
from prunus.sharded import sharded

if TYPE_CHECKING:
    from prunus.drive._pruner import Pruner


def require_units(model: nn.Module) -> None:
    """Check that a model's parameters have the shapes that they were made with.

    Raises:
        PrunusError: FSDP of version 1 has made them flat.
    """
    for name, own in model.named_parameters():
        if name.endswith("_flat_param") or getattr(own, "_fsdp_flattened", False):
            raise PrunusError(
                f"{type(model).__name__} was taken apart by FSDP of version 1, whose parameters are"
                " flat and have no units; use fully_shard (version 2), or DistributedDataParallel"
            )


def require_plain(pruner: "Pruner", said: Mapping[str, bool]) -> None:
    """Check that nothing is asked of gates that is for weights which become zero.

    Args:
        pruner: with its gates.
        said: {setting for such weights: whether it is asked for}.

    Raises:
        PrunusError: it is, or there are gates on a network whose parameters lie in parts.
    """
    asked = [key for key, value in said.items() if value]
    if asked and pruner.gates.sites:
        raise PrunusError(
            f"{asked[0]}: masks that are learnt, or that lie on adapters, leave weights as they"
            " are; leave it out"
        )
    if pruner.gates.sites and any(map(sharded, pruner.model.parameters())):
        raise PrunusError(
            "masks that are learnt, or that lie on adapters, are not for parameters in parts"
            " (FSDP): train with DistributedDataParallel, or score by snip_momentum, snip,"
            " gradient, block_mask, magnitude or random"
        )


def require_trained(pruner: "Pruner") -> None:
    """Check that the optimizer trains what shall go.

    Raises:
        PrunusError: it does not, or the model is not the one that the sites were read from.
    """
    model, known = pruner.model, pruner.parameters
    lacking = [p.tensor for s in pruner.sites.values() for p in s.weights]
    if not known.keys() & set(lacking):
        raise PrunusError(
            f"{type(model).__name__} has no parameter {lacking[0]!r}: make the pruner of"
            " the model that its sites are of, not of one that wraps it"
        )
    trained = {id(p) for group in pruner.optimizer.param_groups for p in group["params"]}
    held = [*pruner.held.parameters.values(), *pruner.gates.scores.values()]
    if held and not any(id(parameter) in trained for parameter in held):
        raise PrunusError(
            "the optimizer trains none of the weights that shall go; give it the parameters of"
            " this model (the pruner is made after the optimizer; DeepSpeed's trains flat copies of"
            " them, in which no unit can be held at zero: use FSDP2 or DistributedDataParallel)"
        )
