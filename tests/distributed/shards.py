"""Loops of one's own, whose processes hold a part of every parameter each (FSDP2)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

import prunus
from prunus import ranks
from prunus.errors import PrunusError
from prunus.sharded import whole
from prunus.shares import Share
from tests.tiny import batch_of, tiny

STEPS = 6
SCHEDULE = {"name": "cubic", "warmup": 1, "cooldown": 1, "every": 2}
GRID = {"sites": {"grid": "4x1", "match": "(?!.*pooler).*"}, "budget": {"density": 0.3}}
UNITS = {"sites": ["heads", "neurons"], "budget": {"density": 0.5, "metric": "units"}}
SAID = {
    "magnitude": {**GRID, "score": "magnitude"},
    "snip_momentum": {**GRID, "score": "snip_momentum"},
    "single weights": {**GRID, "sites": {"grid": "1x1", "match": ".*query"}, "score": "snip"},
    "heads and neurons": {**UNITS, "score": "snip_momentum"},
    "in parts": {**GRID, "score": "snip_momentum", "drive": {"progressive": 2, "lasso": 0.01}},
    "regrow": {**GRID, "score": "magnitude", "drive": {"regrow": True}},
}


def pruned(name: str) -> dict[str, Tensor]:
    """Masks, weights, and the norms that clipping saw."""
    said = SAID[name]
    drive = {"name": "gradual", "schedule": SCHEDULE, **said.get("drive", {})}
    model = tiny("bert", "BertForSequenceClassification", **STILL)
    if ranks.world() > 1:
        for layer in model.base_model.encoder.layer:
            fully_shard(layer)
        fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    pruner = prunus.gradual(model, optimizer, {**said, "drive": drive}, steps=STEPS)
    norms = []
    for step in range(STEPS):
        share = Share(_batch(model, step), ranks.rank(), ranks.world())
        model(**share).loss.backward()
        norms.append(whole(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
        optimizer.step()
        optimizer.zero_grad()
    plan = pruner.detach()
    weights = {n: whole(own.detach()).clone() for n, own in model.named_parameters()}
    return {
        **{f"plan/{site}": mask for site, mask in plan.items()},
        **{f"weight/{site}": own for site, own in weights.items()},
        "norms": torch.stack(norms),
    }


STILL = {"num_labels": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def _batch(model: torch.nn.Module, step: int) -> dict[str, Tensor]:
    """Four examples, of which every process takes as many."""
    return {**batch_of(model, 4, seed=step), "labels": torch.arange(4) % 2}


def refused() -> dict[str, str]:
    """What is said of a training that would prune another network in every process, or none."""
    return {name: said_of(wrong) for name, wrong in WRONG.items()}


def said_of(wrong: Callable[[], object]) -> str:
    """The error that it raises."""
    try:
        wrong()
    except PrunusError as error:
        return str(error)
    return ""


def _each_by_itself() -> None:
    model = tiny("bert", "BertForSequenceClassification", **STILL)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    prunus.gradual(model, optimizer, SAID["snip_momentum"], steps=STEPS)
    model(**Share(_batch(model, 0), ranks.rank(), ranks.world())).loss.backward()
    optimizer.step()


def _learnt_in_parts() -> None:
    model = tiny("bert", "BertForSequenceClassification", **STILL)
    fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    prunus.gradual(model, optimizer, {**GRID, "score": "movement"}, steps=STEPS)


def _of_version_1(flat: bool) -> None:
    model = tiny("bert", "BertForSequenceClassification", **STILL)
    wrapped = FullyShardedDataParallel(
        model, use_orig_params=not flat, device_id=torch.device("cpu")
    )
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    prunus.gradual(model, optimizer, SAID["magnitude"], steps=STEPS)


WRONG = {
    "gradients differ": _each_by_itself,
    "learnt": _learnt_in_parts,
    "FSDP 1": lambda: _of_version_1(flat=False),
    "flat": lambda: _of_version_1(flat=True),
}
