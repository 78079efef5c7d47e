"""The training of neural-compressor's GLUE examples, over prunus' own parts."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, get_scheduler, set_seed

from prunus.checkpoint import save
from prunus.compat.inc import WeightPruningConfig, prepare_pruning
from prunus.errors import PrunusError
from prunus.loss import Objective
from prunus.measure.density import as_neural_compressor, densities
from prunus.task import resolve
from prunus.task._classified import Classified
from prunus.task._network import hushed, open_network, open_tokenizer
from prunus.task.glue import Glue

UNDECAYED = ("bias", "LayerNorm.weight")
MASKS = 40
"""How often masks are chosen, where nobody says how often."""


def carry_out(flags: Namespace, pruners: Sequence[dict[str, Any]]) -> float:
    """Fine-tune, prune where asked to, evaluate after each epoch, save.

    Args:
        flags: of :func:`prunus.compat._flags.flags`.
        pruners: the ``pruning_configs``.

    Returns:
        The sparsity, as neural-compressor counts it.

    Raises:
        PrunusError: model, data or flags will not do.
    """
    _require_free(flags.output_dir)
    if flags.seed is not None:
        set_seed(flags.seed)
    where = resolve(flags.model_name_or_path)
    tokenizer = open_tokenizer(where)
    task = Glue(subset=flags.task_name, max_length=flags.max_length)
    prepared = task.prepare(tokenizer)
    prepared.require("train", "validation")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = open_network(where, prepared, task.head)
    model.to(device)
    teacher = resolve(flags.teacher_model_name_or_path or flags.model_name_or_path)
    objective = _objective(flags, lambda: open_network(teacher, prepared, task.head))
    _train(flags, model, prepared, objective, pruners)
    if flags.output_dir is not None:
        with hushed():
            save(model, flags.output_dir, tokenizer)
    found = as_neural_compressor(densities(model))
    print(f"elementwise_over_matmul_gemm_conv: {found:.4f}")
    return found


def _objective(flags: Namespace, teacher: Any) -> Objective:
    """The labels, or in their stead the teacher's last hidden states, padding included."""
    if flags.distill_loss_weight <= 0:
        return Objective(["labels"])
    hidden = {"name": "hidden", "weight": flags.distill_loss_weight, "tokens": "all"}
    return Objective([hidden], teacher())


def _train(
    flags: Namespace,
    model: Any,
    prepared: Classified,
    objective: Objective,
    pruners: Sequence[dict[str, Any]],
) -> None:
    loader = _loader(flags, prepared)
    epoch_steps = ceil(len(loader) / flags.gradient_accumulation_steps)
    steps = flags.max_train_steps or flags.num_train_epochs * epoch_steps
    epochs = ceil(steps / epoch_steps)
    optimizer = _optimizer(flags, model)
    rates = get_scheduler(flags.lr_scheduler_type, optimizer, flags.num_warmup_steps, steps)
    pruning = None
    if flags.do_prune:
        times = _times(flags, len(prepared.examples("train")), epochs, steps)
        pruning = prepare_pruning(model, WeightPruningConfig(pruners, **times), optimizer)
    done = 0
    for epoch in range(epochs):
        model.train()
        for batches in _accumulated(loader, flags.gradient_accumulation_steps):
            for batch in batches:
                inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
                (objective(model, inputs) / len(batches)).backward()
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            done += 1
            if done == steps:
                break
        quality = prepared.evaluate(model, batch_size=flags.per_device_eval_batch_size)
        print(f"epoch {epoch}: {quality}", flush=True)
    if pruning is not None:
        pruning.detach()


def _times(flags: Namespace, examples: int, epochs: int, steps: int) -> dict[str, Any]:
    """When masks are chosen: in the same steps as the examples chose them."""
    batch = flags.per_device_train_batch_size * flags.gradient_accumulation_steps
    per_epoch = examples / batch
    start = int(flags.sparsity_warm_epochs * per_epoch)
    end = min(int(per_epoch * (epochs - flags.cooldown_epochs)), steps)
    if end < start:
        raise PrunusError(
            f"sparsity_warm_epochs {flags.sparsity_warm_epochs} and cooldown_epochs"
            f" {flags.cooldown_epochs} leave nothing of {epochs} epochs ({steps} steps)"
        )
    every = max(1, (end - start + 1) // MASKS)
    return {
        "target_sparsity": flags.target_sparsity,
        "pruning_frequency": every if flags.pruning_frequency == -1 else flags.pruning_frequency,
        "start_step": start,
        "end_step": end,
    }


def _loader(flags: Namespace, prepared: Classified) -> DataLoader[Any]:
    length = {"padding": "max_length", "max_length": flags.max_length}
    collate = DataCollatorWithPadding(
        prepared.tokenizer, **(length if flags.pad_to_max_length else {})
    )
    examples: Any = prepared.examples("train")
    size = flags.per_device_train_batch_size
    return DataLoader(examples, size, shuffle=True, collate_fn=collate)


def _accumulated(loader: DataLoader[Any], count: int) -> Iterator[list[Any]]:
    """The batches of each step."""
    batches = []
    for batch in loader:
        batches.append(batch)
        if len(batches) == count:
            yield batches
            batches = []
    if batches:
        yield batches


def _optimizer(flags: Namespace, model: nn.Module) -> Optimizer:
    """AdamW as the examples had it: with another memory where the network is pruned."""
    named = list(model.named_parameters())
    kept = [p for name, p in named if any(part in name for part in UNDECAYED)]
    decayed = [p for name, p in named if not any(part in name for part in UNDECAYED)]
    groups = [
        {"params": decayed, "weight_decay": flags.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    betas = (0.9, 0.9) if flags.do_prune else (0.9, 0.999)
    return AdamW(groups, lr=flags.learning_rate, betas=betas, eps=1e-6)


def _require_free(folder: str | None) -> None:
    """What is written in the end can be written: said before anything is trained."""
    path = Path(folder) if folder is not None else None
    taken = path is not None and path.exists() and (path.is_file() or any(path.iterdir()))
    if path is not None and taken and not (path / "config.json").is_file():
        raise PrunusError(f"{path} exists and is no checkpoint; name another --output_dir")
