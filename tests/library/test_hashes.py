"""What a library is keyed by: the dense model, and the data."""

import pytest
import torch

from prunus.library import data_hash, weights_hash
from tests.tiny import FAMILIES, tiny


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_model_that_was_saved_is_the_same(family, tmp_path):
    model = tiny(family)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert weights_hash(again) == weights_hash(model)


def test_every_weight_counts_and_so_do_the_configuration_and_the_class():
    known = {weights_hash(tiny("bert"))}
    for change in ("weight", "config", "seed", "head"):
        model = (
            tiny("bert", "BertModel") if change == "head" else tiny("bert", seed=change == "seed")
        )
        if change == "weight":
            with torch.no_grad():
                model.bert.encoder.layer[1].output.dense.bias[0] += 1e-6
        if change == "config":
            model.config.hidden_act = "relu"
        known.add(weights_hash(model))
    assert len(known) == 5


def test_neither_mode_nor_order_counts():
    model = tiny("t5")
    before = weights_hash(model)
    shared = model._modules.pop("shared")
    model._modules["shared"] = shared  # the tied embedding goes by another name first
    assert next(iter(model.state_dict())) != "shared.weight"
    model.config.use_cache = False  # as trainings set it
    assert weights_hash(model.train()) == before


def test_data_is_its_batches_in_their_order():
    ids = torch.arange(6).reshape(2, 3)
    one, two = {"input_ids": ids, "mask": ids > 1}, {"input_ids": ids + 1, "mask": ids > 1}
    known = [
        [one, two],
        [two, one],
        [one],
        [one, one],
        [{**one, "input_ids": ids.int()}, two],
        [{**one, "input_ids": ids.reshape(3, 2)}, two],
        [{"input_ids": ids, "labels": ids > 1}, two],
    ]
    assert len({data_hash(batches) for batches in known}) == len(known)
    assert data_hash([dict(reversed(one.items())), two]) == data_hash([one, two])
