"""Llama (Touvron et al., arXiv 2302.13971): pre-norm decoder with grouped queries and gated FFN."""

from prunus.anatomy._empty import EmptyProjecting
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack

LAYER = r"layers\.\d+\."

FAMILY = Family(
    stacks=(
        Stack(
            layers="layers",
            count="num_hidden_layers",
            attention=(
                Attention(
                    block="self_attn",
                    query="q_proj",
                    key="k_proj",
                    value="v_proj",
                    out="self_attn.o_proj",
                    residual="input_layernorm",
                    head_dim="head_dim",
                    groups="num_key_value_groups",
                ),
            ),
            feed_forward=FeedForward(
                up=("mlp.gate_proj", "mlp.up_proj"),
                down="mlp.down_proj",
                residual="post_attention_layernorm",
                attrs=("mlp.intermediate_size",),
            ),
        ),
    ),
    channels=Channels(
        slices=(
            (r"embed_tokens\.weight", 1),
            (LAYER + r"(self_attn\.[qkv]_proj|mlp\.(gate|up)_proj)\.weight", 1),
            (LAYER + r"(self_attn\.o_proj|mlp\.down_proj)\..*", 0),
            (LAYER + r"(input|post_attention)_layernorm\.weight", 0),
            (r"norm\.weight", 0),
            (r"(lm_head|score|qa_outputs)\.weight", 1),
        ),
        norms=LAYER + r"(input|post_attention)_layernorm|norm",
    ),
    empty=EmptyProjecting,
    plain=(
        ("num_key_value_heads", "heads"),
        ("num_attention_heads", "heads"),
        ("num_attention_heads", "queries"),
        ("intermediate_size", "neurons"),
    ),
    head_dim="head_dim",
)
