"""GPT-2 (Radford et al. 2019): pre-norm decoder whose projections are fused and transposed."""

from typing import ClassVar

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack


class NoHeads(Empty):
    """Mixin: attention without heads, which gives what ``c_proj`` adds."""

    out: ClassVar[str] = "c_proj"


def _attention(block: str, query: str, norm: str, name: str = "") -> Attention:
    return Attention(
        name=name,
        block=block,
        query=query,
        key="c_attn",
        value="c_attn",
        out=f"{block}.c_proj",
        residual=norm,
        head_dim="head_dim",
        attrs=("num_heads", "split_size"),
    )


LAYER = r"h\.\d+\."
NORMS = LAYER + r"ln_(1|2|cross_attn)|ln_f"

FAMILY = Family(
    stacks=(
        Stack(
            layers="h",
            count="n_layer",
            attention=(
                _attention("attn", "c_attn", "ln_1"),
                _attention("crossattention", "q_attn", "ln_cross_attn", name="cross"),
            ),
            feed_forward=FeedForward(up=("mlp.c_fc",), down="mlp.c_proj", residual="ln_2"),
        ),
    ),
    channels=Channels(
        slices=(
            (r"w[tp]e\.weight", 1),
            (LAYER + r"(attn\.c_attn|crossattention\.q_attn|mlp\.c_fc)\.weight", 0),
            (LAYER + r"\w+\.c_proj\.weight", 1),
            (LAYER + r"\w+\.c_proj\.bias", 0),
            (rf"({NORMS})\..*", 0),
            (r"(lm_head|score|classifier|qa_outputs|multiple_choice_head\.summary)\.weight", 1),
        ),
        norms=NORMS,
    ),
    empty=NoHeads,
    plain=(("n_inner", "neurons"),),
)
