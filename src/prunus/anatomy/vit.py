"""ViT (Dosovitskiy et al., arXiv 2010.11929): pre-norm encoder of image patches."""

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
                    block="attention",
                    query="q_proj",
                    key="k_proj",
                    value="v_proj",
                    out="attention.o_proj",
                    residual="layernorm_before",
                    head_dim="head_dim",
                    attrs=("num_attention_heads",),
                ),
            ),
            feed_forward=FeedForward(up=("mlp.fc1",), down="mlp.fc2", residual="layernorm_after"),
        ),
    ),
    channels=Channels(
        slices=(
            (r"embeddings\.(cls_token|mask_token|position_embeddings)", 2),
            (r"embeddings\.patch_embeddings\.projection\..*", 0),
            (LAYER + r"(attention\.[qkv]_proj|mlp\.fc1)\.weight", 1),
            (LAYER + r"(attention\.o_proj|mlp\.fc2)\..*", 0),
            (LAYER + r"layernorm_(before|after)\..*", 0),
            (r"layernorm\..*", 0),
            (r"pooler\.dense\.weight", 1),
            (r"classifier\.weight", 1),
            (r"decoder\.0\.weight", 1),
        ),
        norms=LAYER + r"layernorm_(before|after)|layernorm",
    ),
    empty=EmptyProjecting,
    plain=(("num_attention_heads", "heads"), ("intermediate_size", "neurons")),
    head_dim="head_dim",
)
