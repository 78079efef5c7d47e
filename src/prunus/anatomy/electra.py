"""ELECTRA (Clark et al., arXiv 2003.10555): BERT behind embeddings of another width."""

from dataclasses import replace
from typing import Any

from prunus.anatomy._family import Channels, Family
from prunus.anatomy.bert import FAMILY as BERT
from prunus.anatomy.bert import LAYER

HEADS = (
    (r"(discriminator_predictions|generator_predictions|classifier)\.dense\.weight", 1),
    (r"sequence_summary\.summary\.weight", 1),
    (r"classifier\.weight", 1, "ForTokenClassification"),
    (r"qa_outputs\.weight", 1),
)
BLOCKS = tuple(part for part in BERT.streams[0].slices if part[0].startswith(LAYER))

PROJECTED = Channels(
    slices=((r"embeddings_project\..*", 0), *BLOCKS, *HEADS),
    norms=r"encoder\..*output\.LayerNorm",
    entries=r"encoder\.layer\.0",
)
"""Embeddings, and the generator's output that is tied to them, are not of the stream's width."""

SAME = Channels(
    slices=(
        *BERT.streams[0].slices,
        *HEADS,
        (r"generator_predictions\..*", 0),
        (r"generator_lm_head\.weight", 1),
    ),
    norms=BERT.streams[0].norms + r"|generator_predictions\.LayerNorm",
)


def configured(family: Family, config: Any) -> Family:
    """Where embeddings have a width of their own."""
    same = config.embedding_size == config.hidden_size
    return replace(family, channels=SAME if same else PROJECTED)


FAMILY = replace(BERT, channels=SAME, configured=configured)
