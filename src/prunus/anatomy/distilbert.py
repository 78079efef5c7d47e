"""DistilBERT (Sanh et al., arXiv 1910.01108): post-norm encoder, BERT with half of its layers."""

from typing import ClassVar

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack


class NoHeads(Empty):
    """Mixin: attention without heads, which gives what ``out_lin`` adds."""

    out: ClassVar[str] = "out_lin"


LAYER = r"transformer\.layer\.\d+\."
NORMS = rf"embeddings\.LayerNorm|{LAYER}(sa|output)_layer_norm|vocab_layer_norm"

FAMILY = Family(
    stacks=(
        Stack(
            layers="transformer.layer",
            count="n_layers",
            attrs=("n_layers",),
            attention=(
                Attention(
                    block="attention",
                    query="q_lin",
                    key="k_lin",
                    value="v_lin",
                    out="attention.out_lin",
                    residual="attention.q_lin",
                    head_dim="attention_head_size",
                    attrs=("n_heads",),
                ),
            ),
            feed_forward=FeedForward(up=("ffn.lin1",), down="ffn.lin2", residual="ffn.lin1"),
        ),
    ),
    channels=Channels(
        slices=(
            (r"embeddings\.(word|position)_embeddings\.weight", 1),
            (LAYER + r"(attention\.[qkv]_lin|ffn\.lin1)\.weight", 1),
            (LAYER + r"(attention\.out_lin|ffn\.lin2)\..*", 0),
            (rf"({NORMS})\..*", 0),
            (r"vocab_transform\.weight", 1),
            (r"vocab_transform\..*", 0),
            (r"vocab_projector\.weight", 1),
            (r"pre_classifier\.weight", 1),
            (r"classifier\.weight", 1, "ForTokenClassification"),
            (r"qa_outputs\.weight", 1),
        ),
        norms=NORMS,
    ),
    empty=NoHeads,
    plain=(("hidden_dim", "neurons"),),
)
