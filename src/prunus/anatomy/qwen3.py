"""Qwen3 (Yang et al., arXiv 2505.09388): Llama with norms of each head's queries and keys."""

from prunus.anatomy.llama import FAMILY

__all__ = ["FAMILY"]
