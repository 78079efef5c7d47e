"""XLM-RoBERTa (Conneau et al., arXiv 1911.02116): RoBERTa, trained on many languages."""

from prunus.anatomy.roberta import FAMILY

__all__ = ["FAMILY"]
