"""BART (Lewis et al., arXiv 1910.13461): post-norm encoder and decoder."""

from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack
from prunus.anatomy._out_proj import NoHeads, attention


def _stack(side: str, *attentions: Attention) -> Stack:
    return Stack(
        layers=f"{side}.layers",
        count=f"{side}_layers",
        attention=attentions,
        feed_forward=FeedForward(up=("fc1",), down="fc2", residual="fc1"),
    )


ITSELF = attention("self_attn.q_proj")
SIDE = r"(en|de)coder\."
LAYER = SIDE + r"layers\.\d+\."
NORMS = rf"{LAYER}(self_attn|encoder_attn|final)_layer_norm|{SIDE}layernorm_embedding"

FAMILY = Family(
    stacks=(
        _stack("encoder", ITSELF),
        _stack("decoder", ITSELF, attention("encoder_attn.q_proj", "encoder_attn", "cross")),
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
