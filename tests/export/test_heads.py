"""Every kind of head in one runtime, a family each, and what is made up for it to read."""

import pytest
import torch

import prunus
from prunus.export import load
from prunus.recipe.export import write
from tests.export.conftest import OTHERS, farthest, inputs, pruned
from tests.tiny import tiny

HEADS = [
    ("bert", "BertForPreTraining"),
    ("bert", "BertForMultipleChoice"),
    ("roberta", "RobertaForQuestionAnswering"),
    ("xlm_roberta", "XLMRobertaForCausalLM"),
    ("distilbert", "DistilBertForMaskedLM"),
    ("electra", "ElectraForTokenClassification"),
    ("mpnet", "MPNetModel"),
    ("deberta_v2", "DebertaV2ForMaskedLM"),
    ("t5", "T5EncoderModel"),
    ("t5", "T5ForQuestionAnswering"),
    ("marian", "MarianModel"),
    ("bart", "BartForCausalLM"),
    ("qwen3", "Qwen3ForSequenceClassification"),
    ("gpt2", "GPT2Model"),
    ("vit", "ViTForMaskedImageModeling"),
    ("clip", "CLIPModel"),
]


@pytest.mark.parametrize(("family", "cls"), HEADS)
def test_answers_are_those_of_torch(family, cls, shelf):
    model, there = pruned(family, cls), load(shelf(family, "pt2", cls), threads=1)
    assert there.facts.difference <= 1e-4
    for size, length in OTHERS:
        batch = inputs(model, size, length)
        with torch.no_grad():
            assert farthest(model(**batch), there(**batch)) <= 1e-4


@pytest.mark.parametrize(
    ("family", "cls", "read"),
    [
        ("bert", "BertForMultipleChoice", {"input_ids", "attention_mask"}),
        ("clip", "CLIPModel", {"input_ids", "attention_mask", "pixel_values"}),
        ("vit", "ViTForMaskedImageModeling", {"pixel_values"}),
    ],
)
def test_inputs_are_made_up(family, cls, read, tmp_path):
    prunus.save(tiny(family, cls), tmp_path / "dense")
    facts = write(str(tmp_path / "dense"), {"name": "pt2"}, quiet=True).facts
    assert facts.graphs["model"].inputs.keys() == read
    assert facts.samples == 5
