import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from prunus.edit.pattern import in_blocks, n_of_m
from prunus.errors import PrunusError
from prunus.measure.density import as_neural_compressor, densities
from tests.tiny import FAMILIES, tiny


def blocks(weight, block, share):
    """Zeros in the first blocks of a weight, in place: ``share`` of them, rounded."""
    rows, columns = (size // of for size, of in zip(weight.shape, block, strict=True))
    stays = torch.arange(rows * columns) >= round(share * rows * columns)
    wide = stays.reshape(rows, columns)
    for axis, of in enumerate(block):
        wide = wide.repeat_interleave(of, axis)
    with torch.no_grad():
        weight.mul_(wide)


def bert_mini():
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=1024,
        )
    )


def test_bert_mini_at_a_tenth_is_what_neural_compressor_published():
    model = bert_mini()
    for linear in model.bert.encoder.modules():
        if isinstance(linear, nn.Linear):
            blocks(linear.weight, (4, 1), 0.9)
    found = densities(model)
    assert found.of == 3145728 + 65536 + 512
    assert len(found.pruned) == 24
    assert as_neural_compressor(found) == pytest.approx(0.8815, abs=5e-5)
    assert found.nonzero / found.of == pytest.approx(1 - as_neural_compressor(found))
    assert {weight.name for weight in found.layers} - {weight.name for weight in found.pruned} == {
        "bert.pooler.dense",
        "classifier",
    }
    assert [weight.shape for weight in found.embeddings] == [(30522, 256), (512, 256), (2, 256)]
    assert found.embeddings[0].nonzero == 30521 * 256  # the padding's row


def test_zeros_by_chance_are_no_pruning():
    model = nn.Sequential(nn.Linear(100, 100), nn.Conv2d(2, 5, 3))
    with torch.no_grad():
        model[0].weight[0, :10] = 0
        model[1].weight[0, 0, 0, 0] = 0
    found = densities(model)
    assert [(own.name, own.kind, own.nonzero, own.of) for own in found.layers] == [
        ("0", "Linear", 9990, 10000),
        ("1", "Conv2d", 89, 90),
    ]
    assert [own.name for own in found.pruned] == ["1"]
    assert as_neural_compressor(found) == 1 / 10090


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_of_a_family_is_counted(family):
    model = tiny(family)
    found = densities(model)
    counted = {weight.name for weight in (*found.layers, *found.embeddings)}
    named = dict(model.named_parameters(remove_duplicate=False))
    wide = {name for name, p in named.items() if p.dim() > 1 and name.endswith(".weight")}
    tied = {n for n in wide if any(named[n] is named[f"{c}.weight"] for c in counted)}
    assert tied == wide
    assert found.pruned == ()
    assert found.nonzero == found.of > 0
    assert as_neural_compressor(found) == 0


def test_a_weight_tied_to_an_embedding_is_also_a_layer():
    model = tiny("bert", "BertForMaskedLM", tie_word_embeddings=True)
    found = densities(model)
    assert "cls.predictions.decoder" in {weight.name for weight in found.layers}
    names = [weight.name for weight in found.embeddings]
    assert len(names) == 3


def test_a_model_without_layers_has_no_zeros():
    found = densities(nn.LayerNorm(3))
    assert (found.of, as_neural_compressor(found)) == (0, 0)


@pytest.mark.parametrize("kernel", [(), (3,), (3, 2)])
@pytest.mark.parametrize("block", [(1, 1), (4, 1), (1, 4), (2, 3), (8, 1), (1, 12)])
def test_blocks_are_zero_whole_or_nowhere(block, kernel):
    weight = torch.ones(8, 12, *kernel)
    for place in weight.flatten(2).unbind(2) if kernel else [weight]:
        blocks(place, block, 0.5)
    assert (weight == 0).any()
    assert in_blocks(weight, block)
    zero = (weight == 0).nonzero()[0]
    weight[tuple(zero)] = 1
    assert in_blocks(weight, block) == (block == (1, 1))


def test_blocks_go_along_outputs_and_inputs():
    weight = torch.ones(4, 4)
    weight[:, 1] = 0
    assert in_blocks(weight, (4, 1))
    assert not in_blocks(weight, (1, 4))
    assert not in_blocks(weight, (1, 2))


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_two_of_four_inputs(kernel):
    ones = torch.ones(3, 8, *kernel)
    ones[:, torch.tensor([0, 3, 6, 7])] = 0
    assert n_of_m(ones, 2, 4)
    assert n_of_m(ones, 4, 8)
    assert not n_of_m(ones, 1, 4)
    ones[1, 3] = 1
    assert not n_of_m(ones, 2, 4)
    ones[1, 1] = 0
    assert n_of_m(ones, 2, 4)


def test_neighbours_are_counted_from_the_first_input():
    row = torch.tensor([[1.0, 1, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1, 0, 0]])
    assert n_of_m(row, 2, 4)
    assert not n_of_m(row[:, 2:6], 2, 4)


def test_what_does_not_divide_is_told():
    with pytest.raises(PrunusError, match=r"6x10 .* pattern 4x1"):
        in_blocks(torch.ones(6, 10), (4, 1))
    with pytest.raises(PrunusError, match=r"6x10 .* pattern 2:4"):
        n_of_m(torch.ones(6, 10), 2, 4)
