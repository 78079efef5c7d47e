"""BART (Lewis et al., arXiv 1910.13461): post-norm encoder and decoder."""

from typing import ClassVar

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack


class NoHeads(Empty):
    """Mixin: attention without heads, which gives what ``out_proj`` adds."""

    out: ClassVar[str] = "out_proj"


def _attention(block: str, name: str = "") -> Attention:
    return Attention(
        name=name,
        block=block,
        query="q_proj",
        key="k_proj",
        value="v_proj",
        out=f"{block}.out_proj",
        residual=f"{block}.q_proj",
        head_dim="head_dim",
        attrs=("num_heads",),
    )


def _stack(side: str, *attention: Attention) -> Stack:
    return Stack(
        layers=f"{side}.layers",
        count=f"{side}_layers",
        attention=attention,
        feed_forward=FeedForward(up=("fc1",), down="fc2", residual="fc1"),
    )


SIDE = r"(en|de)coder\."
LAYER = SIDE + r"layers\.\d+\."
NORMS = rf"{LAYER}(self_attn|encoder_attn|final)_layer_norm|{SIDE}layernorm_embedding"

FAMILY = Family(
    stacks=(
        _stack("encoder", _attention("self_attn")),
        _stack("decoder", _attention("self_attn"), _attention("encoder_attn", name="cross")),
    ),
    channels=Channels(
        slices=(
            (r"shared\.weight", 1),
            (SIDE + r"embed_(tokens|positions)\.weight", 1),
            (LAYER + r"(self_attn\.[qkv]_proj|encoder_attn\.q_proj|fc1)\.weight", 1),
            (LAYER + r"encoder_attn\.[kv]_proj\.weight", 1, r"^(?!.*ForCausalLM)"),
            (LAYER + r"(\w+_attn\.out_proj|fc2)\..*", 0),
            (rf"({NORMS})\..*", 0),
            (r"(lm_head|classification_head\.dense|qa_outputs)\.weight", 1),
        ),
        norms=NORMS,
    ),
    empty=NoHeads,
    plain=(
        ("encoder_ffn_dim", "neurons", "encoder."),
        ("decoder_ffn_dim", "neurons", "decoder."),
    ),
)
