"""Pruned models on disk: safetensors and JSON, opened by ``from_pretrained``."""

from prunus.checkpoint._classes import adopt, model_class
from prunus.checkpoint._files import verify
from prunus.checkpoint._sentences import transformer_of
from prunus.checkpoint._store import load, save

__all__ = ["adopt", "load", "model_class", "save", "transformer_of", "verify"]
