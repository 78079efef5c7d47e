"""DeBERTa v2 and v3 (He et al., arXiv 2006.03654, 2111.09543): content and position apart."""

from dataclasses import replace

from prunus.anatomy._family import Attention
from prunus.anatomy.bert import FAMILY as BERT

FAMILY = replace(
    BERT,
    stacks=(
        replace(
            BERT.stacks[0],
            attention=(
                Attention(
                    block="attention.self",
                    query="query_proj",
                    key="key_proj",
                    value="value_proj",
                    positions=(("query_proj", "pos_query_proj"), ("key_proj", "pos_key_proj")),
                    out="attention.output.dense",
                    residual="attention.self",
                    head_dim="attention_head_size",
                    attrs=("num_attention_heads", "all_head_size"),
                ),
            ),
            fixed=1,  # what a convolution beside the layers adds to
        ),
    ),
    channels=(),  # the positions' embeddings lie on it, and are no sample's own to be masked
)
