"""What a pruned model learns: the dense model's answers, batch by batch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunus import ranks
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.probe import Teacher
from prunus.recover import Pruned, Trained
from prunus.safe import Kept
from prunus.shares import Share, samples_of, weighed

LOSSES = "losses"


class Lessons:
    """The dense model's answers, batch by batch, as a loss to train by."""

    def __init__(self, pruned: Pruned, temperature: float) -> None:
        """Nothing is computed before it is asked for.

        Raises:
            PrunusError: there are no batches.
        """
        mine = ranks.rank(), ranks.world()
        self.batches = [Share(batch, *mine) for batch in pruned.batches]
        if not self.batches:
            raise PrunusError("recover: finetune: no batches to learn from")
        self.device = next(pruned.student.parameters()).device.type
        self._teacher = Teacher(pruned.dense, temperature, self.batches)
        self._pruned, self._losses = pruned, list[Tensor]()

    def __call__(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of the samples of one batch, whose place is given.

        Of several processes each takes a share of the batch.
        """
        batch = self.batches[int(inputs["place"])]
        model.eval()
        with self._pruned.computing():
            loss = weighed(self._teacher(model, batch) / samples_of(batch), batch)
        self._losses.append(loss.detach())
        return loss

    def save(self, path: Path) -> None:
        """Write the losses so far."""
        write_bytes(path, Kept(None, {LOSSES: torch.stack(self._losses)}).encoded())

    def load(self, path: Path) -> None:
        """Go on after those."""
        self._losses = list(Kept.read(path).tensors[LOSSES])

    def told(self, percent: int) -> None:
        """So much is over."""
        self._pruned.step("finetune", percent, 100)

    def trained(self, learnt: str, seconds: float) -> Trained:
        """What was done.

        Raises:
            PrunusError: the loss is not finite.
        """
        own = torch.stack(self._losses).double() / ranks.world()
        losses = ranks.total({"losses": own})["losses"]
        if not losses.isfinite().all():
            raise PrunusError("recover: finetune: the loss is not finite; lower learning_rate")
        last = losses[-max(1, len(losses) // 10) :]
        samples = sum(samples_of(share.whole) for share in self.batches)
        return Trained(learnt, len(losses), seconds, float(last.mean()), samples)


def place(rows: list[int]) -> dict[str, Any]:
    """A batch's place stands for it: the batch is on its device already, its answer known by it."""
    return {"place": torch.tensor(rows)}
