"""Marian (Junczys-Dowmunt et al., arXiv 1804.00344): BART without a norm after its embeddings."""

from prunus.anatomy.bart import FAMILY

__all__ = ["FAMILY"]
