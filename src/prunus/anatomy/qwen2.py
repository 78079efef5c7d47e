"""Qwen2 (Yang et al., arXiv 2407.10671): Llama with biases on queries, keys and values."""

from prunus.anatomy.llama import FAMILY

__all__ = ["FAMILY"]
