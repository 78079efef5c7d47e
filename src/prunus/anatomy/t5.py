"""T5 (Raffel et al., arXiv 1910.10683): encoder and decoder, one position bias a stack."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn

from prunus.anatomy._empty import hold_place
from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack

WHOLE: ContextVar[Tensor | None] = ContextVar("whole_bias", default=None)
"""The bias that an attention has just made; a context's own, as passes may run interleaved."""


class SharedBias(nn.Module):
    """Mixin: attention with fewer heads than the position bias that its stack shares.

    The bias table is not cut. Each attention remembers which of the heads it kept, reads those
    rows of the bias, and hands the whole bias on.
    """

    kept_heads: list[int]
    all_heads: int

    def forward(
        self, hidden_states: Tensor, *args: Any, position_bias: Tensor | None = None, **kwargs: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[batch, tokens, width], with a bias of [1, all heads, queries, keys] in and out."""
        shared = position_bias
        if shared is not None:
            position_bias = shared[:, self.kept_heads]
        out, used, weights = super().forward(
            hidden_states, *args, position_bias=position_bias, **kwargs
        )
        if shared is None:
            shared = WHOLE.get()
            WHOLE.set(None)
        if shared is None:
            shared = used.new_zeros(1, self.all_heads, *used.shape[2:])
        return out, shared, weights

    def compute_bias(self, *args: Any, **kwargs: Any) -> Tensor:
        """The rows of the bias that this attention's heads use; the whole is put by."""
        stock: Any = super()
        whole = stock.compute_bias(*args, **kwargs)
        WHOLE.set(whole)
        return whole[:, self.kept_heads]


class NoHeads(nn.Module):
    """Mixin: attention without heads, which still makes and hands on its stack's bias."""

    all_heads: int
    compute_bias: Callable[..., Tensor]
    o: nn.Linear

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        key_value_states: Tensor | None = None,
        position_bias: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, None]:
        """[batch, tokens, width] to zeros, with a bias of [1, all heads, queries, keys]."""
        tokens = hidden_states.shape[1]
        if key_value_states is not None:
            keys = key_value_states.shape[1]
        else:
            keys = hold_place(self, hidden_states, past_key_values)
        out = self.o(hidden_states[..., :0])
        if position_bias is not None:
            return out, position_bias, None
        if not self.has_relative_attention_bias:
            return out, hidden_states.new_zeros(1, self.all_heads, tokens, keys), None
        place = {"device": hidden_states.device, "past_seen_tokens": keys - tokens}
        return out, self.compute_bias(tokens, keys, **place), None


def _attention(block: str, residual: str, name: str = "") -> Attention:
    return Attention(
        name=name,
        block=block,
        query="q",
        key="k",
        value="v",
        out=f"{block}.o",
        residual=residual,
        head_dim="key_value_proj_dim",
        attrs=("n_heads", "inner_dim"),
    )


def _stack(layers: str, last: int, count: str, *attention: Attention) -> Stack:
    inner = f"layer.{last}.DenseReluDense"
    return Stack(
        layers=layers,
        count=count,
        attention=attention,
        feed_forward=FeedForward(
            up=(f"{inner}.wi", f"{inner}.wi_0", f"{inner}.wi_1"),
            down=f"{inner}.wo",
            residual=f"layer.{last}.layer_norm",
        ),
        fixed=1,
    )


SELF = _attention("layer.0.SelfAttention", "layer.0.layer_norm")
CROSS = _attention("layer.1.EncDecAttention", "layer.1.layer_norm", name="cross")
LAYER = r"(en|de)coder\.block\.\d+\.layer\.\d\."
NORMS = LAYER + r"layer_norm|(en|de)coder\.final_layer_norm"

FAMILY = Family(
    stacks=(
        _stack("encoder.block", 1, "num_layers", SELF),
        _stack("decoder.block", 2, "num_decoder_layers", SELF, CROSS),
    ),
    channels=Channels(
        slices=(
            (r"shared\.weight", 1),
            (r"(en|de)coder\.embed_tokens\.weight", 1),
            (LAYER + r"\w+Attention\.[qkv]\.weight", 1),
            (LAYER + r"\w+Attention\.o\.weight", 0),
            (LAYER + r"DenseReluDense\.wi(_[01])?\.weight", 1),
            (LAYER + r"DenseReluDense\.wo\.weight", 0),
            (rf"({NORMS})\.weight", 0),
            (r"(lm_head|classifier|qa_outputs|classification_head\.dense)\.weight", 1),
        ),
        norms=NORMS,
    ),
    empty=NoHeads,
    indexed=SharedBias,
    plain=(("d_ff", "neurons"),),
)
