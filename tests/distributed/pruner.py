"""A training in several processes, for tests to start."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from prunus.drive._pruner import Pruner
from tests.training import check_removed, course, net_data, trained

STEPS = 10


def worker(rank: int, ranks: int, folder: str, criterion: str) -> None:
    """Train with gradients of all ranks; write masks, weights, and the norms that clipping saw."""
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", ranks)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    found = train(rank, ranks, criterion=criterion)
    save_file(found, Path(folder) / f"{rank}.safetensors")
    distributed.destroy_process_group()


def train(
    rank: int = 0, ranks: int = 1, batches: int = 1, criterion: str = "snip_momentum"
) -> dict[str, torch.Tensor]:
    """Each step, every rank takes its own batches; gradients are means over them all."""
    tiny = trained("net")
    optimizer = torch.optim.AdamW(tiny.model.parameters(), lr=0.01)
    pruner = Pruner(tiny.model, optimizer, [course(tiny.of("4x1"), 0.3, criterion)], STEPS)
    model = DistributedDataParallel(tiny.model) if ranks > 1 else tiny.model
    norms = []
    for step in range(STEPS):
        for part in range(batches):
            batch = (step * ranks + rank) * batches + part
            inputs, answers = net_data(batch)
            ((model(inputs) - answers).square().mean() / batches).backward()
        norms.append(nn.utils.clip_grad_norm_(tiny.model.parameters(), 0.5))
        optimizer.step()
        optimizer.zero_grad()
        if not pruner.gates.sites:
            check_removed(pruner)
    masks = {f"mask/{name}": mask for name, mask in pruner.detach().items()}
    weights = {name: weight.detach() for name, weight in tiny.model.named_parameters()}
    return {**masks, **weights, "norms": torch.stack(norms)}
