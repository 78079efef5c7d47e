"""BERT (Devlin et al., arXiv 1810.04805): post-norm encoder, and its decoder form."""

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack

SELF = Attention(
    block="attention.self",
    query="query",
    key="key",
    value="value",
    out="attention.output.dense",
    residual="attention.self.query",
    head_dim="attention_head_size",
    attrs=("num_attention_heads", "all_head_size"),
)
LAYER = r"encoder\.layer\.\d+\."
PREDICTIONS = r"cls\.predictions\."

FAMILY = Family(
    stacks=(
        Stack(
            layers="encoder.layer",
            count="num_hidden_layers",
            attention=(
                SELF,
                Attention(
                    name="cross",
                    block="crossattention.self",
                    query="query",
                    key="key",
                    value="value",
                    out="crossattention.output.dense",
                    residual="crossattention.self.query",
                    head_dim="attention_head_size",
                    attrs=("num_attention_heads", "all_head_size"),
                ),
            ),
            feed_forward=FeedForward(
                up=("intermediate.dense",), down="output.dense", residual="intermediate.dense"
            ),
        ),
    ),
    channels=Channels(
        slices=(
            (r"embeddings\..*_embeddings\.weight", 1),
            (r"embeddings\.LayerNorm\..*", 0),
            (LAYER + r"\w*attention\.self\.query\.weight", 1),
            (LAYER + r"attention\.self\.(key|value)\.weight", 1),
            (LAYER + r"intermediate\.dense\.weight", 1),
            (LAYER + r"(\w*attention\.)?output\.(dense|LayerNorm)\..*", 0),
            (r"pooler\.dense\.weight", 1),
            (PREDICTIONS + r"transform\.dense\.weight", 1),
            (PREDICTIONS + r"transform\.(dense|LayerNorm)\..*", 0),
            (PREDICTIONS + r"decoder\.weight", 1),
            (r"classifier\.weight", 1, "ForTokenClassification"),
            (r"qa_outputs\.weight", 1),
        ),
        norms=r"embeddings\.LayerNorm|.*output\.LayerNorm|" + PREDICTIONS + r"transform\.LayerNorm",
    ),
    empty=Empty,
    plain=(("intermediate_size", "neurons"),),
)
