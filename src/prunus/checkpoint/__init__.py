"""Pruned models on disk: safetensors and JSON, opened by ``from_pretrained``."""

from prunus.checkpoint._adapters import load_adapters, save_adapters
from prunus.checkpoint._classes import adopt, model_class
from prunus.checkpoint._files import verify
from prunus.checkpoint._packed import packable
from prunus.checkpoint._peft import export_peft
from prunus.checkpoint._plain import dense_form
from prunus.checkpoint._portable import FILE
from prunus.checkpoint._sentences import others_of, transformer_of
from prunus.checkpoint._store import load, outline, save

__all__ = [
    "FILE", "adopt", "dense_form", "export_peft", "load", "load_adapters", "model_class",
    "others_of", "outline", "packable", "save", "save_adapters", "transformer_of", "verify",
]  # fmt: skip
