"""Opening what was exported."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig

from prunus.auto import own_config
from prunus.export._exported import Exported
from prunus.export._facts import Facts
from prunus.export._generate import GeneratingDecoder, GeneratingEncoderDecoder
from prunus.foreign import CONFIG, config_of, opening
from prunus.registry import build

KINDS = {
    None: Exported,
    "decoder": GeneratingDecoder,
    "encoder-decoder": GeneratingEncoderDecoder,
}


def load(folder: str | Path, threads: int | None = None, *, fixed: bool = False) -> Exported:
    """Open an exported model in its runtime.

    Args:
        folder: with an ``export.json``.
        threads: how many it computes with from now on; as many as torch does now when None.
        fixed: compile it anew for every shape of inputs: faster where these are few.

    Returns:
        A model that answers ``model(**batch)`` as the one in torch did.

    Raises:
        PrunusError: the folder holds no exported model or a broken one, or its runtime is not
            installed, or cannot fix shapes.
    """
    folder = Path(folder)
    facts = Facts.load(folder)
    exporter = build("export", {"name": facts.to, "dtype": facts.dtype})
    count = threads or torch.get_num_threads()
    opened = exporter.fixed if fixed else exporter.open
    sessions = {name: opened(folder, stored, count) for name, stored in facts.graphs.items()}
    # a task reads the head off the name of the class
    named: Any = type(facts.architecture, (KINDS[facts.generates],), {})
    model = named(_config(folder), facts, sessions)
    if facts.generates:
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _config(folder: Path) -> Any:
    config_of(folder)
    with opening(folder / CONFIG):
        found = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return own_config(found)
