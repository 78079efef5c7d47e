"""A moving average of the weights, which is what a training leaves."""

from pathlib import Path
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import TrainerCallback

from prunus.files import write_bytes
from prunus.safe import Kept


class Averaged(TrainerCallback):
    """Puts the average of a training's weights in their place when it ends.

    Polyak and Juditsky (SIAM J. Control Optim. 30, 1992), fading as in torch's ``swa_utils``:
    average = decay * average + (1 - decay) * weights after each step, begun with the first step's.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """The average of a model that is about to be trained."""
        self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))

    @property
    def average(self) -> nn.Module:
        """The model with the average of its weights so far."""
        return self._average.module

    def save(self, path: Path) -> None:
        """Write the average so far."""
        write_bytes(path, Kept(None, self._average.state_dict()).held().encoded())

    def load(self, path: Path) -> None:
        """Go on with it."""
        self._average.load_state_dict(Kept.read(path).tensors)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Take the weights of a step in."""
        self._average.update_parameters(given["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Give the average to the model."""
        given["model"].load_state_dict(self._average.module.state_dict())
