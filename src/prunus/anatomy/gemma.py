"""Gemma (arXiv 2403.08295): Llama with heads of any width, embeddings scaled and tied."""

from prunus.anatomy.llama import FAMILY

__all__ = ["FAMILY"]
