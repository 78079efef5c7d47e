"""Random models of every family, and random plans for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from prunus.anatomy import Anatomy, anatomy
from prunus.plan import Plan
from prunus.site import Site
from tests.tiny import DECODERS, FAMILIES, GROUPED, auto_heads, batch_of, tiny

KINDS = ("heads", "queries", "neurons", "sublayers", "layers", "channels")
COMBINATIONS = (*((kind,) for kind in KINDS), ("heads", "neurons"), ("heads", "queries"), KINDS)


@dataclass(frozen=True)
class Case:
    """A model, and how it was made: hypothesis prints the latter."""

    family: str
    cls: str
    seed: int
    config: Mapping[str, object]

    @cached_property
    def model(self) -> PreTrainedModel:
        return tiny(self.family, self.cls, self.seed, **self.config)

    @cached_property
    def sites(self) -> Anatomy:
        """Everything but the vocabulary, without which inputs are others."""
        return self.of(*KINDS)

    @cached_property
    def anatomy(self) -> Anatomy:
        return anatomy(self.model)

    @cached_property
    def batch(self) -> dict[str, Tensor]:
        return batch_of(self.model, seed=self.seed)

    def of(self, *kinds: str) -> Anatomy:
        """The sites of those kinds that the family has."""
        return self.anatomy.of(*{s.kind for s in self.anatomy.values()}.intersection(kinds))


def _bert(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        "width": 8 * heads * times, "intermediate_size": 7 * times, "tie_word_embeddings": flags[0]
    }  # fmt: skip


def _t5(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        "d_model": 8 * times, "d_kv": 4 * times, "d_ff": 7 * times, "num_decoder_layers": 1 + times,
        "tie_word_embeddings": flags[0], "feed_forward_proj": "gated-gelu" if flags[1] else "relu",
    }  # fmt: skip


def _llama(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        "heads": heads * times, "groups": heads, "hidden_size": 8 * heads * times, "head_dim": 4,
        "tie_word_embeddings": flags[0], "attention_bias": flags[1], "mlp_bias": flags[2],
        "intermediate_size": 7 * times,
    }  # fmt: skip


def _vit(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {"hidden_size": 8 * heads * times, "intermediate_size": 7 * times, "qkv_bias": flags[0]}


def _distilbert(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        "width": 8 * heads * times, "hidden_dim": 7 * times, "tie_word_embeddings": flags[0],
        "sinusoidal_pos_embds": flags[1],
    }  # fmt: skip


def _electra(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    widths = _bert(heads, times, flags)
    return {**widths, "embedding_size": widths["width"] if flags[1] else 16}


def _deberta(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        **_bert(heads, times, flags), "share_att_key": flags[1], "legacy": flags[2],
        "pos_att_type": [["c2p"], ["p2c"], ["p2c", "c2p"]][times - 1],
        "conv_kernel_size": 3 * flags[2], "position_buckets": 4 * flags[0] or -1,
    }  # fmt: skip


def _clip_vision(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {"hidden_size": 8 * heads * times, "intermediate_size": 7 * times}


def _clip(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {"projection_dim": 8 * times}


def _gpt2(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        "width": 8 * heads * times, "n_inner": 7 * times, "tie_word_embeddings": flags[0],
        "scale_attn_by_inverse_layer_idx": flags[1],
    }  # fmt: skip


def _opt(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    width = 8 * heads * times
    return {
        "width": width, "ffn_dim": 7 * times, "tie_word_embeddings": flags[0],
        "do_layer_norm_before": flags[1], "word_embed_proj_dim": 12 if flags[2] else width,
        "enable_bias": flags[0] or flags[1],
    }  # fmt: skip


def _bart(heads: int, times: int, flags: list[bool]) -> dict[str, object]:
    return {
        "width": 8 * heads * times, "encoder_ffn_dim": 7 * times, "decoder_ffn_dim": 5,
        "encoder_layers": 3, "decoder_attention_heads": heads * times,
        "tie_word_embeddings": flags[0], "scale_embedding": flags[1],
    }  # fmt: skip


WIDTHS = {
    "t5": _t5, "vit": _vit, "distilbert": _distilbert, "electra": _electra, "deberta_v2": _deberta,
    "deit": _vit, "clip": _clip, "clip_vision_model": _clip_vision, "gpt2": _gpt2, "opt": _opt,
    "bart": _bart, "marian": _bart, **dict.fromkeys(GROUPED, _llama),
}  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, family: str, cls: str | None = None) -> Case:
    """A model of a family: any task head (or ``cls``), heads, groups, layers, widths, biases."""
    cls = cls or draw(st.sampled_from(sorted(auto_heads(family))))
    heads, times = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    layers = draw(st.integers(2 if family == "t5" else 1, 3))
    flags = draw(st.lists(st.booleans(), min_size=3, max_size=3))
    config = {"heads": heads, "layers": layers, **WIDTHS.get(family, _bert)(heads, times, flags)}
    if cls in DECODERS:
        config["add_cross_attention"] = flags[2]
    return Case(family, cls, draw(st.integers(0, 99)), config)


def random_mask(site: Site, share: float, least: int, generator: torch.Generator) -> Tensor:
    """A mask that keeps about ``share`` of a site's units, equally many of each run.

    At least one unit goes, and at least ``least`` stay unless the site (or run) has a single one.
    """
    if not site.removable:
        drawn = torch.rand(site.shape, generator=generator)
        return (drawn < share) & (drawn < drawn.max())
    run = site.even if site.even > 1 else site.units
    count = max(min(least, run - 1), min(run - 1, round(share * run)))
    rows = torch.rand(site.units // run, run, generator=generator)
    return (rows.argsort(1).argsort(1) < count).flatten()


def random_plan(
    sites: Mapping[str, Site], seed: int, *, least: int = 1, share: float | None = None
) -> Plan:
    """A plan that takes something of every site and leaves at least ``least`` units of each.

    Of sublayers and layers, which have a single unit, at least one goes.
    """
    generator = torch.Generator().manual_seed(seed)
    single = [name for name, site in sites.items() if site.kind in ("sublayers", "layers")]
    gone = single[seed % len(single)] if single else None
    plan = {}
    for name, site in sites.items():
        of_it = float(torch.rand(1, generator=generator)) if share is None else share
        if name in single:
            plan[name] = torch.tensor([of_it > 0.4 and name != gone])
        else:
            few = {"channels": 4, "queries": 1}.get(site.kind, least)
            plan[name] = random_mask(site, of_it, few, generator)
    return Plan(plan)


def counts(plan: Mapping[str, Tensor]) -> dict[str, int]:
    """{site: units that stay}."""
    return {name: int(mask.sum()) for name, mask in plan.items()}


@cache
def kinds_of(family: str) -> frozenset[str]:
    """The kinds of sites of a family, and grids, which every model has."""
    return frozenset(site.kind for site in anatomy(tiny(family)).values()) | {"grid"}


def each(*combinations: tuple[str, ...]) -> pytest.MarkDecorator:
    """Every family with every combination of kinds that means something to it."""
    names = {kinds: "+".join(kinds) if len(kinds) < len(KINDS) else "all" for kinds in combinations}
    known = [
        pytest.param(family, kinds, id=f"{family}-{names[kinds]}")
        for family in FAMILIES
        for kinds in combinations
        if kinds_of(family).issuperset(kinds) or len(kinds) > 3
    ]  # fmt: skip
    return pytest.mark.parametrize(("family", "kinds"), known)
