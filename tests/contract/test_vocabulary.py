"""A model without some tokens answers as the whole one where it reads and says only others."""

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import BartConfig, BartForConditionalGeneration

from prunus.anatomy import anatomy
from prunus.anatomy._tensors import Tensors
from prunus.anatomy._vocabulary import vocabulary
from prunus.drive import prune, shrink
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.measure import size
from prunus.plan import Plan
from prunus.probe.work import flops as counted
from prunus.probe.work import work
from prunus.select._cost import flops, params
from tests.checkpoint.conftest import reopen, store
from tests.contract.draw import KINDS, Case, cases, counts, random_plan
from tests.tiny import FAMILIES, HEADS, answers, auto_heads, batch_of, far, outputs, tiny

NAME = "tokens:vocab"
READ = ("input_ids", "decoder_input_ids")
SAID = ("ConditionalGeneration", "MTModel", "CausalLM", "MaskedLM", "LMHead", "PreTraining")
TEXTUAL = [
    family for family in FAMILIES if NAME in anatomy(tiny(family, next(iter(auto_heads(family)))))
]


def told(model):
    """The entries of a batch that hold token ids."""
    name = type(model).__name__
    return [*READ, *(["labels"] if any(head in name for head in SAID) else [])]


def stay(site, batch, keys, seed, share=0.5):
    """Some tokens, those of a batch and those that are needed."""
    stays = torch.rand(site.units, generator=torch.Generator().manual_seed(seed)) < share
    stays[list(site.needed)] = True
    for key in {*keys}.intersection(batch):
        stays[batch[key][batch[key] >= 0]] = True
    return stays


def renumbered(batch, stays, keys):
    """The batch as the smaller vocabulary writes it."""
    new = stays.cumsum(0) - 1
    moved = {k: torch.where(v < 0, v, new[v.clamp(min=0)]) for k, v in batch.items() if k in keys}
    return {**batch, **moved}


def check(case, kinds=()):
    """Dense = masked = shrunk for tokens that stay; costs are those counted."""
    site, keys = case.anatomy[NAME], told(case.model)
    stays = stay(site, case.batch, keys, case.seed)
    plan = (random_plan(case.of(*kinds), case.seed) if kinds else Plan()) | {NAME: stays}
    batch = renumbered(case.batch, stays, keys)
    small = shrink(case.model, plan)
    with mask(case.model, case.anatomy, plan):
        masked = answers(case.model, case.batch)
    for name, answer in answers(small, batch).items():
        was = masked[name]
        if was.shape[-1] == len(stays) != answer.shape[-1]:
            was = was[..., stays]
        if was.shape != answer.shape:
            was = was[..., plan["stream:channels"]]
        assert far(answer, was) < 1e-5, name
    sites, kept = case.anatomy, counts(plan)
    assert params(sites)(kept) == size.parameters(small) < size.parameters(case.model)
    assert flops(sites, work(case.model, case.batch))(kept) == counted(small, batch)
    return small, stays


@pytest.mark.parametrize("family", TEXTUAL)
@given(st.data())
@settings(max_examples=4)
def test_masked_is_shrunk_and_counted(family, data):
    case = data.draw(cases(family))
    assume(NAME in case.anatomy)
    check(case)
    check(case, KINDS)


@pytest.mark.parametrize(
    ("family", "cls"), [(family, cls) for family in TEXTUAL for cls in auto_heads(family)]
)
@pytest.mark.parametrize("tied", [True, False])
def test_every_head_answers_as_before(family, cls, tied):
    case = Case(family, cls, 1, {"tie_word_embeddings": tied})
    if NAME not in case.anatomy:
        pytest.skip("reads no text")
    small, stays = check(case)
    keys = told(case.model)
    dense = answers(case.model, case.batch)
    for name, answer in answers(small, renumbered(case.batch, stays, keys)).items():
        wide = dense[name].shape != answer.shape
        assert far(answer, dense[name][..., stays] if wide else dense[name]) < 1e-5
    tables = {tuple(t.shape) for t in small.state_dict().values() if len(stays) in t.shape}
    assert not tables
    text = small.config.get_text_config()
    assert text.vocab_size == int(stays.sum())
    assert type(small) is type(case.model)


@pytest.mark.parametrize("family", TEXTUAL)
def test_gone_tokens_are_masked(family):
    """A row that is masked is no row at all, and what it would have said is nothing."""
    case = Case(family, HEADS[family].__name__, 1, {})
    if NAME not in case.anatomy:
        pytest.skip("reads no text")
    stays = torch.ones(case.anatomy[NAME].units, dtype=torch.bool)
    stays[case.batch["input_ids"][0, 2]] = False
    before = outputs(case.model, case.batch)
    with mask(case.model, case.anatomy, {NAME: stays}):
        assert far(outputs(case.model, case.batch), before) > 1e-4
    assert torch.equal(outputs(case.model, case.batch), before)


def test_a_mask_of_tokens_is_differentiable():
    case = Case("llama", HEADS["llama"].__name__, 1, {"tie_word_embeddings": True})
    values = torch.ones(case.anatomy[NAME].units, requires_grad=True)
    with mask(case.model, case.anatomy, {NAME: values}):
        case.model(**case.batch).loss.backward()
    assert (values.grad != 0).all()  # tokens that are not read are still said
    many = {NAME: torch.ones(3, len(values))}
    with pytest.raises(PrunusError, match="got values"), mask(case.model, case.anatomy, many):
        pass


@pytest.mark.parametrize("family", TEXTUAL)
def test_needed_tokens_cannot_go(family):
    model = tiny(family, next(iter(auto_heads(family))))
    site = anatomy(model)[NAME]
    assert site.needed
    stays = torch.ones(site.units, dtype=torch.bool)
    stays[site.needed[-1]] = False
    with pytest.raises(PrunusError, match=rf"tokens \[{site.needed[-1]}\] must stay"):
        shrink(model, Plan({NAME: stays}))


def test_token_ids_follow():
    ids = {"bos_token_id": 9, "eos_token_id": [20, 12], "pad_token_id": 5}
    model = tiny("llama", **ids)
    model.generation_config.suppress_tokens = [30, -1]
    model.generation_config.bad_words_ids = [[9, 20], [40]]
    assert anatomy(model)[NAME].needed == (5, 9, 12, 20, 30, 40)
    stays = torch.zeros(50, dtype=torch.bool)
    stays[[5, 7, 9, 12, 20, 30, 33, 40]] = True
    small = shrink(model, Plan({NAME: stays}))
    assert (small.config.bos_token_id, small.config.eos_token_id) == (2, [4, 3])
    assert small.generation_config.eos_token_id == [4, 3]
    assert (small.config.pad_token_id, small.model.padding_idx) == (0, 0)
    assert (small.model.embed_tokens.padding_idx, small.model.embed_tokens.num_embeddings) == (0, 8)
    assert (small.config.vocab_size, small.vocab_size, small.model.vocab_size) == (8, 8, 8)
    assert small.generation_config.suppress_tokens == [5, -1]
    assert small.generation_config.bad_words_ids == [[2, 4], [7]]
    assert (model.config.vocab_size, model.config.bos_token_id) == (50, 9)
    model.generation_config.sequence_bias = [[[3], 1.0]]
    with pytest.raises(PrunusError, match=r"sequence_bias tells tokens by number"):
        shrink(model, Plan({NAME: stays}))


def test_positions_are_counted_from_a_padding_that_keeps_its_number():
    site = anatomy(tiny("roberta", pad_token_id=6, bos_token_id=7, eos_token_id=8))[NAME]
    assert site.needed == (*range(7), 7, 8)


def test_biases_beside_the_output_layer_are_found():
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 9}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = BartForConditionalGeneration(BartConfig(vocab_size=20, **sizes, **heads))
    (site,) = vocabulary(model, Tensors.of(model))
    assert {(part.tensor, part.axis) for part in site.slices} == {
        ("model.shared.weight", 0),
        ("final_logits_bias", 1),
    }


def test_tokens_are_not_scored():
    model = tiny("bert")
    with pytest.raises(PrunusError, match=r"use\s+prunus.trim_vocabulary"):
        prune(model, [batch_of(model)], sites=["vocab"])


def test_a_checkpoint_is_plain_unless_something_else_is_uneven(tmp_path):
    expected = {}
    for family in TEXTUAL:
        cls = next(iter(auto_heads(family)))
        for more in ((), ("heads",)):
            case = Case(family, cls, 1, {"layers": 2})
            small, stays = check(case, more)
            keys = told(case.model)
            name = f"{family}-{len(more)}"
            autos = auto_heads(family)[cls][:1]
            folder = store(small, renumbered(case.batch, stays, keys), tmp_path / name, autos)
            config = json.loads((folder / "config.json").read_text())
            assert not more or "prunus" in config
            if not more:
                assert config["model_type"] == case.model.config.model_type
                assert "prunus" not in config
            expected[name] = True
    rows = reopen("prunus", tmp_path)
    assert {row["case"]: row.get("equal") for row in rows} == expected
