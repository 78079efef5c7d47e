"""How an adapted model begins: its dense base, cut and masked, with adapters of some blocks."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from prunus import headers
from prunus.adapt import adapted, attach
from prunus.adapt._prototypes import OWNED
from prunus.anatomy import Anatomy, anatomy, plain
from prunus.checkpoint._classes import adopt
from prunus.edit import shrink
from prunus.edit.settle import scale
from prunus.errors import PrunusError
from prunus.foreign import require_known
from prunus.plan import Plan
from prunus.site import Site, Slice, expand

MASKS, BLOCKS, VALUES = "plan.safetensors", "blocks.safetensors", "values.safetensors"


@dataclass(frozen=True)
class Start:
    """What of a dense model is in an adapted one, and how its adapters are made.

    Attributes:
        plan: what stays of the base.
        grids: {site: what of it is a grid}, of all that the plan or the values name.
        values: {grid: [units that stay] what they are multiplied by}.
        made: {layer: settings of its adapter}.
        blocks: {layer: [*grid] the blocks that its adapter still has}; others have all.
    """

    plan: Plan
    grids: Mapping[str, Site]
    values: Mapping[str, Tensor]
    made: Mapping[str, Any]
    blocks: Plan

    @classmethod
    def of(
        cls,
        model: nn.Module,
        base: nn.Module,
        plan: Plan,
        sites: Mapping[str, Site],
        values: Mapping[str, Tensor],
    ) -> Self:
        """What a model says of itself, made of a base; see :func:`save_adapters`.

        Raises:
            PrunusError: values that are not on a grid, or an adapter that fills masked weights.
        """
        _refuse_owners(model)
        layers = adapted(model)
        named = {name: sites[name] for name in [*plan, *values] if name in sites}
        grids = {name: site for name, site in named.items() if not site.removable}
        if other := sorted(values.keys() - grids.keys()):
            raise PrunusError(f"values: {other[0]!r} is no grid of `sites`")
        for site in grids.values():
            _refuse_filled(model, base, site.slices[0], _stays(plan, site))
        kept = {n: own.detach()[_stays(plan, grids[n])].cpu() for n, own in values.items()}
        stays = {name: getattr(own.adapter, "stays", torch.ones(1)) for name, own in layers.items()}
        blocks = Plan({name: own for name, own in stays.items() if not own.all()})
        return cls(plan, grids, kept, {n: own.adapter.made for n, own in layers.items()}, blocks)

    def on(self, base: PreTrainedModel) -> PreTrainedModel:
        """The model as it begins, made of a copy; random numbers go on where they were."""
        model = adopt(shrink(base, self.plan, self._sites(base)))
        for name, kept in self.values.items():
            stays = _stays(self.plan, self.grids[name])
            value = kept.new_zeros(stays.shape).masked_scatter(stays, kept)
            scale(model, self.grids[name], value)
        with torch.random.fork_rng():
            for settings, names in self._alike().items():
                match = "|".join(map(re.escape, names))
                attach(model, {**json.loads(settings), "match": match, "head": True})
        for name, stays in self.blocks.items():
            layer: Any = model.get_submodule(name)
            layer.adapter.keep(stays)
        return model

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the masks, a bit for each unit, and the values; what else there is, as JSON."""
        self.plan.save(folder / MASKS)
        if self.blocks:
            self.blocks.save(folder / BLOCKS)
        if self.values:
            save_file(
                {name: own.contiguous() for name, own in self.values.items()}, folder / VALUES
            )
        grids = {name: _told(site) for name, site in self.grids.items()}
        return {"adapters": dict(self.made), "grids": grids}

    @classmethod
    def load(cls, folder: Path, told: Mapping[str, Any]) -> Self:
        """What :meth:`save` wrote and told."""
        grids = {name: _site(name, own) for name, own in told["grids"].items()}
        for made in told["adapters"].values():
            require_known(str(made["name"]), folder)
        blocks, values = folder / BLOCKS, folder / VALUES
        return cls(
            Plan.load(folder / MASKS), grids, headers.read(values) if values.exists() else {},
            told["adapters"], Plan.load(blocks) if blocks.exists() else Plan(),
        )  # fmt: skip

    def _sites(self, base: nn.Module) -> Anatomy:
        """The base's sites, which need not be known where the plan names grids alone."""
        every = anatomy(base) if self.plan.keys() - self.grids.keys() else plain(base)
        return every | self.grids

    def _alike(self) -> Mapping[str, list[str]]:
        """{settings, as JSON: the layers whose adapters were made by them}."""
        found = defaultdict[str, list[str]](list)
        for name, settings in self.made.items():
            found[json.dumps(settings, sort_keys=True)].append(name)
        return found


def _refuse_owners(model: nn.Module) -> None:
    below = [name for name, module in model.named_modules() if name and hasattr(module, OWNED)]
    if below:
        raise PrunusError(
            f"{below[0]} owns prototypes: attach adapters to the whole model, so that they can be"
            " saved alone"
        )


def _refuse_filled(model: nn.Module, base: nn.Module, part: Slice, stays: Tensor) -> None:
    """An adapter of a weight that is masked must leave the mask, and the weight's shape."""
    path, _, leaf = part.tensor.rpartition(".")
    layer = adapted(model.get_submodule(path)).get("")
    if layer is None or leaf != layer.holds:
        return
    weight = layer.effective_weight().detach()
    cut = weight.shape != base.get_parameter(part.tensor).shape
    if cut or weight[expand(part, ~stays.to(weight.device), weight.shape)].any():
        raise PrunusError(
            f"the adapter of {path} fills weights that the plan removes; settle the masks first, in"
            " adapters of the plan's blocks (prunus.adapt.settle), or merge the adapters and save"
            " the whole model"
        )


def _stays(plan: Plan, site: Site) -> Tensor:
    return plan[site.name] if site.name in plan else torch.ones(site.shape, dtype=torch.bool)


def _told(site: Site) -> dict[str, Any]:
    part = site.slices[0]
    return {"tensor": part.tensor, "axes": part.axes, "tile": part.tile, "shape": site.shape}


def _site(name: str, told: Mapping[str, Any]) -> Site:
    axes = (tuple(axis) if isinstance(axis, list) else axis for axis in told["axes"])
    part = Slice(told["tensor"], tuple(axes), tuple(told["tile"]))
    return Site(name, "grid", tuple(told["shape"]), (part,), part.tensor.removesuffix(".weight"))
