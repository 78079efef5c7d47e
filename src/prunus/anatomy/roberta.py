"""RoBERTa (Liu et al., arXiv 1907.11692): BERT's layers below heads of its own."""

from dataclasses import replace

from prunus.anatomy._family import Channels
from prunus.anatomy.bert import FAMILY as BERT

(STREAM,) = BERT.streams

FAMILY = replace(
    BERT,
    channels=Channels(
        slices=(
            *STREAM.slices,
            (r"lm_head\.dense\.weight", 1),
            (r"lm_head\.(dense|layer_norm)\..*", 0),
            (r"lm_head\.decoder\.weight", 1),
            (r"classifier\.dense\.weight", 1),
        ),
        norms=STREAM.norms + r"|lm_head\.layer_norm",
    ),
)
