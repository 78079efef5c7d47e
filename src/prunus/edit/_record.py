"""What a shrunk model remembers of its dense form, so that its shapes can be built again."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from prunus.anatomy import Anatomy, Family
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.site import Site

FORMAT = 1


def record(
    model: nn.Module, chosen: Mapping[str, Site], plan: Plan, family: Family
) -> dict[str, Any]:
    """The record of a model after a cut: {"format": 1, "kept": {site: count or indices}}.

    Names are those of the dense model. A site keeps a count; heads under a shared position bias
    keep their indices, runs of equal counts the count of one run, a stack the layers that stay.
    """
    before = getattr(model.config, "prunus", None) or {"format": FORMAT, "kept": {}}
    kept = dict(before["kept"])
    gone: dict[str, set[int]] = {}
    for name, site in chosen.items():
        dense = _dense_name(name, kept, family)
        if site.kind == "layers":
            stack, index = _split(dense.removesuffix(":layers"))
            gone.setdefault(stack, set()).add(index)
        else:
            kept[dense] = _kept(model, site, plan[name], family)
    for stack, layers in gone.items():
        before = kept.get(f"{stack}:layers") or range(_dense_count(model, stack, family))
        kept[f"{stack}:layers"] = [index for index in before if index not in layers]
    return {"format": FORMAT, "kept": kept}


def dense_plan_of(kept: Mapping[str, Any], sites: Anatomy) -> Plan:
    """The plan that gives a dense model the shapes of a record.

    Raises:
        PrunusError: the record speaks of sites that this model does not have.
    """
    masks: dict[str, Tensor] = {}
    for name, stays in kept.items():
        stack, _, kind = name.rpartition(":")
        if kind == "layers":
            masks.update(_layers(stack, stays, sites))
        elif name not in sites:
            raise PrunusError(f"the checkpoint's record names site {name!r}, which the model lacks")
        else:
            masks[name] = _mask(sites[name], stays)
    return Plan(masks)


def _kept(model: nn.Module, site: Site, stays: Tensor, family: Family) -> int | list[int]:
    if site.kind == "heads" and family.indexed is not None:
        block: Any = model.get_submodule(site.block)
        return list(block.kept_heads)
    return site.of_run(stays)


def _mask(site: Site, stays: int | list[int]) -> Tensor:
    if isinstance(stays, list):
        return torch.isin(torch.arange(site.units), torch.tensor(stays, dtype=torch.long))
    return (torch.arange(site.run) < stays).repeat(site.units // site.run)


def _layers(stack: str, stays: list[int], sites: Anatomy) -> dict[str, Tensor]:
    found = [n for n, s in sites.items() if s.kind == "layers" and n.rpartition(".")[0] == stack]
    return {n: torch.tensor([_split(n.removesuffix(":layers"))[1] in stays]) for n in found}


def _dense_name(name: str, kept: Mapping[str, Any], family: Family) -> str:
    """A site's name in the dense model, whose layers had other numbers."""
    for stack in family.stacks:
        layers = kept.get(f"{stack.layers}:layers")
        if layers and name.startswith(f"{stack.layers}."):
            index, rest = _leading(name.removeprefix(f"{stack.layers}."))
            return f"{stack.layers}.{layers[index]}{rest}"
    return name


def _dense_count(model: nn.Module, stack: str, family: Family) -> int:
    data = next(data for data in family.stacks if data.layers == stack)
    return attrgetter(data.count)(model.config)


def _split(layer: str) -> tuple[str, int]:
    stack, _, index = layer.rpartition(".")
    return stack, int(index)


def _leading(rest: str) -> tuple[int, str]:
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return int(rest[:digits]), rest[digits:]
