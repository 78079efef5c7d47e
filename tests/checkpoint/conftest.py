"""Saved models for the tests of reloading."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from prunus.checkpoint import save
from tests.tiny import answers

SCRIPT = Path(__file__).parent / "reopen.py"


def store(
    model: PreTrainedModel,
    batch: Mapping[str, Tensor],
    folder: Path,
    autos: tuple[str, ...],
    portable: bool = False,
    packed: bool = False,
) -> Path:
    """Save a model with inputs and what it answers, for ``reopen.py``."""
    save(model, folder / "model", portable=portable, packed=packed)
    save_file({key: tensor.contiguous() for key, tensor in batch.items()}, folder / "inputs.st")
    found = {key: tensor.contiguous() for key, tensor in answers(model, batch).items()}
    save_file(found, folder / "answers.st")
    (folder / "autos.txt").write_text(" ".join(autos))
    return folder / "model"


def trusted(folder: Path, auto: str = "", **more: Any) -> Any:
    """Open, trusting its file, by an Auto class: where none is said, one that keeps the head."""
    config = json.loads((folder / "config.json").read_text())
    (name,) = config["architectures"]
    made = config.get("auto_map", {}).items()
    keeps = next((auto for auto, cls in made if cls.endswith(f".{name}")), name)
    opener = getattr(transformers, auto or keeps)
    return opener.from_pretrained(folder, trust_remote_code=True, **more)


def reopen(order: str, folder: Path) -> list[dict[str, Any]]:
    """What ``reopen.py`` says, in a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, order, folder], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """A folder for checkpoints that tests share."""
    return tmp_path_factory.mktemp("shelf")
