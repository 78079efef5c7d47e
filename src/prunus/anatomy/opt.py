"""OPT (Zhang et al., arXiv 2205.01068): pre-norm decoder; OPT-350m alone is post-norm."""

from dataclasses import replace
from typing import Any

from prunus.anatomy._family import Channels, Family, FeedForward, Stack
from prunus.anatomy._out_proj import NoHeads, attention

LAYER = r"decoder\.layers\.\d+\."
NORMS = LAYER + r"(self_attn|final)_layer_norm|decoder\.final_layer_norm"
EMBEDDED = (r"(decoder\.embed_tokens|lm_head|score|qa_outputs)\.weight", 1)


def configured(family: Family, config: Any) -> Family:
    """Where norms come after sublayers, and where embeddings have a width of their own."""
    channels, stack = family.streams[0], family.stacks[0]
    if config.word_embed_proj_dim != config.hidden_size:
        slices = tuple(part for part in channels.slices if part != EMBEDDED)
        channels = replace(channels, slices=slices)
    if not config.do_layer_norm_before:
        stack = replace(
            stack,
            attention=(replace(stack.attention[0], residual="self_attn.q_proj"),),
            feed_forward=replace(stack.feed_forward, residual="fc1"),
        )
        channels = replace(channels, entries=r"decoder\.layers\.0")
    return replace(family, stacks=(stack,), channels=channels)


FAMILY = Family(
    stacks=(
        Stack(
            layers="decoder.layers",
            count="num_hidden_layers",
            attention=(attention("self_attn_layer_norm"),),
            feed_forward=FeedForward(up=("fc1",), down="fc2", residual="final_layer_norm"),
        ),
    ),
    channels=Channels(
        slices=(
            EMBEDDED,
            (r"decoder\.embed_positions\.weight", 1),
            (r"decoder\.project_in\.weight", 0),
            (LAYER + r"(self_attn\.[qkv]_proj|fc1)\.weight", 1),
            (LAYER + r"(self_attn\.out_proj|fc2)\..*", 0),
            (rf"({NORMS})\..*", 0),
            (r"decoder\.project_out\.weight", 1),
        ),
        norms=NORMS,
    ),
    empty=NoHeads,
    plain=(("ffn_dim", "neurons"),),
    configured=configured,
)
