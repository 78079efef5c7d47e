"""The reporters of transformers, called by hand: a run is more than the trainings in it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerControl, TrainerState
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from prunus.tracking import Values

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
"""What stands for a distribution where a reporter knows numbers alone."""
MOST = 10**6
"""Of more values than these, as many are taken, evenly spaced."""


class Tracker:
    """One run in every reporter, from its first event to its last.

    Trainings count their steps from 0 each; here they follow one another, and an event outside of
    trainings is a step of its own.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, name: str, settings: Mapping[str, Any]
    ) -> None:
        """Open the reporters; see :func:`prunus.tracking.tracked`."""
        self._arguments = SimpleNamespace(
            run_name=name,
            output_dir=str(folder),
            to_dict=lambda: dict(settings),
            to_json_string=lambda: json.dumps(settings, indent=2, default=str),
        )
        self._state, self._control = TrainerState(), TrainerControl()
        self._base: int | None = None
        made = (cls() for cls in get_reporting_integration_callbacks(list(names)))
        self._reporters: dict[str, Any] = dict(zip(names, made, strict=True))
        self._outer = _run_of(self._reporters.get("wandb"))
        for reporter in self._reporters.values():
            reporter.on_train_begin(self._arguments, self._state, self._control)

    def log(self, values: Values, step: int | None) -> None:
        """Report values at a step of a training, or at one of their own."""
        self._state.global_step = self._place(step)
        numbers = {n: float(own) for n, own in values.items() if not isinstance(own, Tensor)}
        spread = {n: _finite(own) for n, own in values.items() if isinstance(own, Tensor)}
        spread = {name: own for name, own in spread.items() if own.numel()}
        for name, reporter in self._reporters.items():
            told = numbers
            if name in HISTOGRAMS:
                for key, own in spread.items():
                    HISTOGRAMS[name](reporter, f"train/{key}", own, self._state.global_step)
            else:
                told = numbers | {k: v for key, own in spread.items() for k, v in _told(key, own)}
            if told:
                reporter.on_log(self._arguments, self._state, self._control, logs=told)

    def close(self) -> None:
        """End the run in every reporter."""
        for reporter in self._reporters.values():
            reporter.on_train_end(self._arguments, self._state, self._control)
        wandb = self._reporters.get("wandb")
        if wandb is not None and self._outer is None:
            wandb._wandb.finish()

    def _place(self, step: int | None) -> int:
        now = self._state.global_step
        if step is None:
            self._base = None
            return now + 1
        if self._base is None:
            self._base = now
        return max(now, self._base + step)  # a guest's steps are fewer where gradients overflow


def _run_of(wandb: Any) -> Any:
    """The run that was open before, which its owner ends."""
    return None if wandb is None else wandb._wandb.run


def _finite(values: Tensor) -> Tensor:
    """[value] those that are numbers, on the CPU; -inf says that a unit is gone."""
    flat = values.detach().flatten()
    flat = flat[:: max(1, flat.numel() // MOST)].float().cpu()
    return flat[flat.isfinite()]


def _told(name: str, values: Tensor) -> list[tuple[str, float]]:
    found = values.quantile(torch.tensor(list(QUANTILES.values())))
    return [(f"{name}/{key}", value) for key, value in zip(QUANTILES, found.tolist(), strict=True)]


def _in_tensorboard(reporter: Any, name: str, values: Tensor, step: int) -> None:
    reporter.tb_writer.add_histogram(name, values, step)


def _in_wandb(reporter: Any, name: str, values: Tensor, step: int) -> None:
    wandb = reporter._wandb
    wandb.log({name: wandb.Histogram(values.numpy()), "train/global_step": step})


HISTOGRAMS: dict[str, Callable[[Any, str, Tensor, int], None]] = {
    "tensorboard": _in_tensorboard,
    "wandb": _in_wandb,
}
"""Reporters that know distributions."""
