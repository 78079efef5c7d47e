"""What a checkpoint answers in a process that knows nothing of the one that saved it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig

from prunus.checkpoint import FILE, load
from prunus.errors import PrunusError

ASKED, ANSWERED = "asked.safetensors", "answered.safetensors"


def answer(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """All logits of a model in evaluation mode, side by side, [sample, logit], on the CPU."""
    with torch.inference_mode():
        out = model(**batch)
    found = [tensor.float().cpu() for name, tensor in out.items() if name.endswith("logits")]
    return torch.cat([tensor.flatten(1) for tensor in found], 1)


def fresh_answer(folder: Path, batch: Mapping[str, Tensor], device: str) -> Tensor:
    """All logits [sample, logit] of a saved model, opened in a process of its own.

    Raises:
        PrunusError: that process failed; the end of what it said is told.
    """
    with tempfile.TemporaryDirectory() as place:
        plain = {name: tensor.cpu().contiguous() for name, tensor in batch.items()}
        save_file(plain, Path(place) / ASKED)
        threads = str(torch.get_num_threads())
        command = [sys.executable, "-m", __name__, str(folder), place, device, threads]
        environment = os.environ | {"HF_MODULES_CACHE": place}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise PrunusError(f"{folder} does not open in a fresh process: {done.stderr[-2000:]}")
        return load_file(Path(place) / ANSWERED)["logits"]


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference of two outputs, relative to the largest entry of the second."""
    gap = (one - other).abs().max() / other.abs().max()
    return float(gap)


def _opened(folder: Path) -> Any:
    """The model, by the file that a portable checkpoint carries where there is one."""
    if not (folder / FILE).exists():
        return load(folder, dtype=torch.float32)
    config: Any = AutoConfig.from_pretrained(folder)
    name = f".{config.architectures[0]}"
    auto = next(auto for auto, made in config.auto_map.items() if made.endswith(name))
    opener = getattr(transformers, auto)
    return opener.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)


def main(folder: str, place: str, device: str, threads: str) -> None:
    """Open the checkpoint, read the batch beside, write the logits beside it."""
    torch.set_num_threads(int(threads))
    model = _opened(Path(folder)).eval().to(device)
    batch = {name: tensor.to(device) for name, tensor in load_file(Path(place) / ASKED).items()}
    save_file({"logits": answer(model, batch).contiguous()}, Path(place) / ANSWERED)


if __name__ == "__main__":
    main(*sys.argv[1:])
