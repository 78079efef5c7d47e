"""Attentions that own q_proj, k_proj, v_proj and out_proj: those of BART, OPT and CLIP."""

from typing import ClassVar

from prunus.anatomy._empty import Empty
from prunus.anatomy._family import Attention


class NoHeads(Empty):
    """Mixin: attention without heads, which gives what ``out_proj`` adds."""

    out: ClassVar[str] = "out_proj"


def attention(residual: str, block: str = "self_attn", name: str = "") -> Attention:
    """The attention in ``block``; ``residual`` is the module that the stream enters."""
    return Attention(
        name=name,
        block=block,
        query="q_proj",
        key="k_proj",
        value="v_proj",
        out=f"{block}.out_proj",
        residual=residual,
        head_dim="head_dim",
        attrs=("num_heads",),
    )
