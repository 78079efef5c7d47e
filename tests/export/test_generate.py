"""Exports of models that write texts go on as torch does: greedily, with beams, with a cache."""

import pytest
import torch

from prunus.export import load
from prunus.export._verify import BOUND, far
from tests.checkpoint.test_generate import generated, prompt
from tests.export.conftest import EXPORTERS, inputs, pruned

WRITERS = ("llama", "gpt2", "opt", "qwen2", "qwen3", "mistral", "gemma", "t5", "bart", "marian")
WAYS = {
    "greedy": {},
    "without-cache": {"use_cache": False},
    "beams": {"num_beams": 2},
}


@pytest.mark.parametrize("to", EXPORTERS)
@pytest.mark.parametrize("family", WRITERS)
def test_generation(family, to, shelf):
    model, there = pruned(family), load(shelf(family, to))
    for how in WAYS.values():
        right, logits = generated(model, prompt(), **how)
        said, close = generated(there, prompt(), **how)
        assert torch.equal(said, right)
        torch.testing.assert_close(close, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("to", EXPORTERS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_texts_that_are_padded_on_the_left(family, to, shelf):
    model, there = pruned(family), load(shelf(family, to))
    batch = inputs(model, 3, 8)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["attention_mask"][1, :4] = 0
    with torch.no_grad():
        right, said = model(**batch).logits, there(**batch).logits
    assert said.isfinite().all()
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(said[real], right[real], rtol=1e-4, atol=1e-4)
    assert far(model, there, [batch])[0] <= BOUND


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_steps_with_a_cache_are_one_pass(family, shelf):
    there = load(shelf(family, "pt2"))
    ids = inputs(pruned(family), 2, 9)["input_ids"]
    begun = there(input_ids=ids[:, :4])
    rest = there(input_ids=ids[:, 4:], past_key_values=begun.past_key_values)
    whole = there(input_ids=ids, use_cache=False)
    assert "past_key_values" not in whole
    joined = torch.cat([begun.logits, rest.logits], 1)
    torch.testing.assert_close(joined, whole.logits, rtol=1e-4, atol=1e-4)


def test_what_others_wrote_is_continued(shelf):
    model, there = pruned("t5"), load(shelf("t5", "onnx"))
    texts = prompt()
    made = there.get_encoder()(**texts)
    begun = torch.zeros(3, 1, dtype=torch.long)
    with torch.no_grad():
        right = model(**texts, decoder_input_ids=begun).logits
    said = there(
        encoder_outputs=made, attention_mask=texts["attention_mask"], decoder_input_ids=begun
    )
    torch.testing.assert_close(said.logits, right, rtol=1e-4, atol=1e-4)
