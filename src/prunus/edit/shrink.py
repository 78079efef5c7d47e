"""Physical removal: tensors are sliced, modules emptied or dropped, sizes and records follow."""

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunus.anatomy import Anatomy, anatomy
from prunus.edit._record import dense_plan_of, record
from prunus.edit._renumber import renumber
from prunus.edit._resize import drop_layers, refresh, settle_attention
from prunus.edit.settle import scale
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.site import Site, along

Keeps = dict[str, dict[int, Tensor]]


def shrink(model: Any, plan: Plan, sites: Anatomy | None = None) -> Any:
    """A new model without the units that the plan removes; the given model stays as it is.

    Grid sites cannot be removed: their weights are set to zero. The configuration of the new
    model, if it has one, records what was kept, so that a checkpoint of it can be rebuilt.

    Args:
        model: a transformers model, or any torch module.
        plan: what stays.
        sites: the anatomy that the plan speaks of, where it holds more (grids) than the model's,
            or was traced with an example.

    Raises:
        PrunusError: the plan is another model's, removes every channel or a token that is needed,
            or removes unequal numbers of units where they must stay equal.
    """
    small = copy.deepcopy(model)
    cut(small, plan, sites if sites is not None else anatomy(model))
    return small


def reshape(model: nn.Module, kept: Mapping) -> None:
    """Give a dense model, in place, the shapes that a pruned model's record tells of.

    Args:
        model: a dense model, usually on the meta device or about to be loaded.
        kept: the record that :func:`shrink` left in ``config.prunus["kept"]``.
    """
    config: Any = model.config
    told = vars(config).pop("prunus", None)  # of shapes that the model does not have yet
    with torch.device("cpu"):  # models are built on the meta device; what to keep is not
        sites = anatomy(model)
        cut(model, dense_plan_of(kept, sites), sites)
    if told is not None:
        config.prunus = told


def cut(model: Any, plan: Plan, sites: Anatomy) -> None:
    """Shrink a model in place (see :func:`shrink`)."""
    plan.check(sites, type(model).__name__)
    chosen = {name: sites[name] for name in sites if name in plan and not plan[name].all()}
    for site in chosen.values():
        _refuse(site, plan, chosen)
        if not site.removable:
            scale(model, site, plan[site.name])
    gone = {name: site for name, site in chosen.items() if site.removable}
    if not gone:
        return
    _refuse_blocks(model, gone.values())
    every = sites.read(model) if sites.family.stacks else sites
    heads = [site for site in every.values() if site.kind == "heads"]
    stays = keeps(gone, plan, sites)
    _slice(model, sites, stays)
    for site in gone.values():
        _follow(model, site, plan[site.name])
    for site in heads:
        query = site.slices[0]
        rows = stays.get(query.tensor, {}).get(query.axis)
        if rows is not None:
            own = rows.narrow(0, query.start, query.tile[0] * site.units)
            settle_attention(model, site, own, sites.family)
    told = {name: site for name, site in gone.items() if site.kind != "vocab"}
    if told and hasattr(model, "config"):  # it says itself how many tokens there are
        model.config.prunus = record(model, told, plan, sites.family)
    dropped = [site.reader for site in gone.values() if site.kind == "layers"]
    drop_layers(model, dropped, sites.family)
    refresh(model)


def keeps(chosen: Mapping[str, Site], plan: Plan, sites: Anatomy) -> Keeps:
    """Which entries of every axis of every tensor stay: {tensor: {axis: [length] bool}}."""
    found: Keeps = defaultdict(dict)
    for name, site in chosen.items():
        for part in site.slices:
            axis = part.axis
            length = sites.tensors.shapes[part.tensor][axis]
            stays = along(part, plan[name], length)
            found[part.tensor][axis] = stays & found[part.tensor].get(axis, stays)
    return found


def _slice(model: nn.Module, sites: Anatomy, found: Keeps) -> None:
    owners = defaultdict(list)
    for alias, owner in sites.tensors.aliases.items():
        owners[owner].append(alias)
    for name, axes in found.items():
        tensor = _get(model, name)
        data = tensor.detach()
        for axis, stays in axes.items():
            data = data.index_select(axis, stays.nonzero()[:, 0].to(data.device))
        fresh = data.clone()
        if isinstance(tensor, nn.Parameter):
            fresh = nn.Parameter(fresh, requires_grad=tensor.requires_grad)
        for alias in owners[name]:
            path, _, leaf = alias.rpartition(".")
            setattr(model.get_submodule(path), leaf, fresh)


def _get(model: nn.Module, name: str) -> Tensor:
    path, _, leaf = name.rpartition(".")
    return getattr(model.get_submodule(path), leaf)


def _follow(model: nn.Module, site: Site, stays: Tensor) -> None:
    """What modules say of a site's size, and of tokens by their numbers."""
    if site.kind == "vocab":
        renumber(model, stays)
    for path in site.attrs:
        module, _, attr = path.rpartition(".")
        owner = model.get_submodule(module)
        setattr(owner, attr, getattr(owner, attr) * site.of_run(stays) // site.run)
    for path, each in site.counts:
        _count_down(model, path, int((~stays).sum()) * each)


def _count_down(model: nn.Module, path: str, by: int) -> None:
    """Let an attribute, or one place of a tuple (``pad.padding[4]``), say less."""
    module, _, attr = path.rpartition(".")
    owner, (attr, _, place) = model.get_submodule(module), attr.partition("[")
    value: Any = getattr(owner, attr)
    if place:
        index = int(place.rstrip("]"))
        setattr(owner, attr, (*value[:index], value[index] - by, *value[index + 1 :]))
    else:
        setattr(owner, attr, value - by)


def _refuse_blocks(model: nn.Module, gone: Iterable[Site]) -> None:
    """Units of a weight cannot go while an adapter of blocks lies on them; all of it can."""
    parts = [(site, part) for site in gone if site.kind != "layers" for part in site.slices]
    for site, part in parts:
        path, _, leaf = part.tensor.rpartition(".")
        module: Any = model.get_submodule(path)
        if leaf == getattr(module, "holds", "") and not module.adapter.rides:
            raise PrunusError(
                f"site {site.name!r}: {path} has an adapter of blocks, which are not cut with its"
                " outputs and inputs: merge it first (drive: gradual does), or use an adapter that"
                " is (splora)"
            )


def _refuse(site: Site, plan: Plan, chosen: Mapping[str, Site]) -> None:
    stays = plan[site.name]
    if site.kind == "channels" and int(stays.sum()) < site.least:
        raise PrunusError(f"site {site.name!r}: at least {site.least} of its channels must stay")
    gone = [unit for unit in site.needed if not stays[unit]]
    if gone:
        raise PrunusError(
            f"site {site.name!r}: tokens {gone[:5]} must stay, the model knows them by number"
            " (padding, ends, positions counted from the padding's)"
        )
    if site.even == 1:
        return
    counts = stays.reshape(-1, site.even).sum(-1)
    groups = f"{site.name.rpartition(':')[0]}:heads"
    if groups in chosen:
        counts = counts[plan[groups]]
    if counts.unique().numel() > 1 or not counts.all():
        raise PrunusError(
            f"site {site.name!r}: every run of {site.even} units must keep equally many, and at"
            f" least one (to empty a run, remove the unit of {groups!r}), got {counts.tolist()}"
        )
