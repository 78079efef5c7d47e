"""Marian (Junczys-Dowmunt et al., arXiv 1804.00344): BART without a norm of its embeddings."""

from dataclasses import replace

from prunus.anatomy.bart import FAMILY as BART

FAMILY = replace(BART, channels=replace(BART.streams[0], entries=r"(en|de)coder\.layers\.0"))
