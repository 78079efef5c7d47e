"""MPNet (Song et al., arXiv 2004.09297): RoBERTa around attentions that share a position bias."""

from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention, Channels
from prunus.anatomy.roberta import FAMILY as ROBERTA


class KeptBias(nn.Module):
    """Mixin: attention with fewer heads than the position bias that the encoder makes."""

    kept_heads: list[int]

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        """[batch, tokens, width], with a bias of [batch, all heads, tokens, tokens]."""
        if position_bias is not None:
            position_bias = position_bias[:, self.kept_heads]
        return super().forward(hidden_states, attention_mask, position_bias, **kwargs)


class NoHeads(Empty):
    """Mixin: attention without heads, which gives what ``o`` adds."""

    out: ClassVar[str] = "o"


ATTENTION = r"encoder\.layer\.\d+\.attention\."

(STREAM,) = ROBERTA.streams

FAMILY = replace(
    ROBERTA,
    stacks=(
        replace(
            ROBERTA.stacks[0],
            attention=(
                Attention(
                    block="attention.attn",
                    query="q",
                    key="k",
                    value="v",
                    out="attention.attn.o",
                    residual="attention.attn.q",
                    head_dim="attention_head_size",
                    attrs=("num_attention_heads", "all_head_size"),
                ),
            ),
        ),
    ),
    channels=Channels(
        slices=(
            *STREAM.slices,
            (ATTENTION + r"attn\.[qkv]\.weight", 1),
            (ATTENTION + r"(attn\.o|LayerNorm)\..*", 0),
        ),
        norms=rf"{STREAM.norms}|{ATTENTION}LayerNorm",
    ),
    empty=NoHeads,
    indexed=KeptBias,
)
