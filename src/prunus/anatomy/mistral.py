"""Mistral (Jiang et al., arXiv 2310.06825): Llama with attention in a sliding window."""

from prunus.anatomy.llama import FAMILY

__all__ = ["FAMILY"]
