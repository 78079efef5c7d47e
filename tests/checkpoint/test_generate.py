"""Pruned models generate as the masked dense model does: with cache, with beams, reloaded."""

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.checkpoint import adopt, load, save
from prunus.edit import mask, shrink
from prunus.plan import Plan
from tests.checkpoint.conftest import trusted
from tests.contract.draw import KINDS, random_plan
from tests.tiny import GROUPED, far, tiny

WAYS = {
    "greedy": {},
    "without-cache": {"use_cache": False},
    "beams": {"num_beams": 3},
    "beams-without-cache": {"num_beams": 3, "use_cache": False},
}


def gone(sites, *names):
    """A plan without anything of the named sites."""
    return {name: torch.zeros(sites[name].shape) for name in names}


def of(sites, *kinds):
    return random_plan(sites.of(*{s.kind for s in sites.values()}.intersection(kinds)), 4)


def ends(sites, end, start=""):
    return [name for name in sites if name.endswith(end) and name.startswith(start)]


TRANSLATOR = {
    "heads and neurons": lambda s: of(s, "heads", "neurons"),
    "channels": lambda s: of(s, "channels"),
    "everything": lambda s: of(s, *KINDS),
    "no first self-attention": lambda s: gone(s, *ends(s, ".0:heads")),
    "no first cross-attention": lambda s: gone(s, *ends(s, ".0.cross:heads")),
    "no last self-attention": lambda s: gone(s, *ends(s, ".2.attention:sublayers", "decoder")),
    "no attention in the decoder": lambda s: gone(s, *ends(s, ":heads", "decoder")),
    "no attention at all": lambda s: gone(s, *ends(s, ":heads")),
    "a layer of each stack": lambda s: gone(s, *ends(s, ".1:layers")),
    "no layer but the first": lambda s: gone(s, *ends(s, ".1:layers"), *ends(s, ".2:layers")),
}
DECODER = {
    "heads and neurons": lambda s: of(s, "heads", "queries", "neurons"),
    "everything": lambda s: of(s, *KINDS),
    "no first attention": lambda s: gone(s, ends(s, ":heads")[0]),
    "no last attention": lambda s: gone(s, ends(s, ":heads")[-1]),
    "no attention at all": lambda s: gone(s, *ends(s, ":heads")),
    "no first layer": lambda s: gone(s, ends(s, ":layers")[0]),
    "no layer but the last": lambda s: gone(s, *ends(s, ":layers")[:-1]),
}
TRANSLATORS = ("t5", "bart", "marian")
DECODERS = (*GROUPED, "gpt2", "opt")
CASES = [
    *((f, None, name, plan) for f in TRANSLATORS for name, plan in TRANSLATOR.items()),
    *((f, None, name, plan) for f in DECODERS for name, plan in DECODER.items()),
    *(("bert", "BertLMHeadModel", name, plan) for name, plan in DECODER.items()),
    *(("roberta", "RobertaForCausalLM", name, plan) for name, plan in DECODER.items()),
]


def prompt():
    """Three texts, one of them padded on the left as generation wants it."""
    torch.manual_seed(1)
    ids = torch.randint(3, 50, (3, 6))
    attention = torch.ones_like(ids)
    attention[1, :2] = 0
    return {"input_ids": ids * attention, "attention_mask": attention}


def generated(model, batch, **how):
    """(tokens, logits of every step)."""
    out = model.generate(
        **batch, max_new_tokens=6, min_new_tokens=6, do_sample=False, output_logits=True,
        return_dict_in_generate=True, pad_token_id=0, **how,
    )  # fmt: skip
    return out.sequences, torch.stack(out.logits)


@pytest.mark.parametrize(
    ("family", "cls", "plan"),
    [pytest.param(family, cls, plan, id=f"{family}-{name}") for family, cls, name, plan in CASES],
)
def test_generation(family, cls, plan, tmp_path):
    model = tiny(family, cls, layers=3)
    sites = anatomy(model)
    plan = Plan(plan(sites))
    small = adopt(shrink(model, plan))
    save(small, tmp_path / "model")
    again = load(tmp_path / "model")
    save(small, tmp_path / "portable", portable=True)
    portable = trusted(tmp_path / "portable")
    batch = prompt()
    for how in WAYS.values():
        _, dense = generated(model, batch, **how)
        with mask(model, sites, plan):
            tokens, logits = generated(model, batch, **how)
        assert far(logits, dense) > 1e-3
        for pruned in (small, again, portable):
            same, close = generated(pruned, batch, **how)
            assert torch.equal(same, tokens)
            torch.testing.assert_close(close, logits, rtol=1e-4, atol=1e-4)
