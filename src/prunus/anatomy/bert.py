"""BERT (Devlin et al., arXiv 1810.04805): post-norm encoder, and its decoder form."""

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack


def _attention(module: str, name: str = "") -> Attention:
    return Attention(
        name=name,
        block=f"{module}.self",
        query="query",
        key="key",
        value="value",
        out=f"{module}.output.dense",
        residual=f"{module}.self.query",
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
            attention=(_attention("attention"), _attention("crossattention", name="cross")),
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
