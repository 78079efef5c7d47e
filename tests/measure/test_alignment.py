import pytest
import torch

import prunus
from prunus.anatomy import anatomy
from prunus.errors import PrunusError
from prunus.measure import alignment as module
from prunus.measure.alignment import alignment, step_of
from prunus.select._budget import At, Budget
from tests.tiny import tiny

BATCHES = [{"input_ids": torch.randint(2, 50, (2, 8)), "attention_mask": torch.ones(2, 8).long()}]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path))


def cliff(every: int, price: float) -> dict[int, float]:
    """What counts cost where all but multiples of ``every`` are dearer."""
    return {units: 0.0 if units % every == 0 else price for units in range(33)}


@pytest.mark.parametrize("every", [1, 2, 4, 8, 16, 32])
def test_the_step_is_where_the_cliff_is(every):
    assert step_of(cliff(every, 0.3), 32) == every


def test_a_small_price_is_worth_no_step():
    assert step_of(cliff(16, 0.005), 32) == 1


def test_no_step_is_larger_than_what_was_measured():
    assert step_of({units: 0.5 for units in range(1, 9)} | {0: 0.0, 8: 0.0}, 8) == 8


def test_every_step_has_multiples_that_are_none_of_the_next():
    for span in (2, 4, 8, 16, 32):
        for step in (one for one in module.STEPS if one < span):
            assert any(n % step == 0 and n % (2 * step) for n in module._offsets(span))


def test_widths_are_measured_on_the_model_and_kept(monkeypatch):
    model = tiny("bert", intermediate_size=48).eval()
    sites = anatomy(model).of("heads", "neurons")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = alignment(model, sites, BATCHES[0], At(batch=1, length=8))
    assert set(found) == {"neurons"}
    assert found["neurons"] in module.STEPS
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    monkeypatch.setattr(module, "_measured", None)  # what was kept is not measured again
    assert alignment(model, sites, BATCHES[0], At(batch=1, length=8)) == found


def test_auto_rounds_what_stays(monkeypatch):
    model = tiny("bert", intermediate_size=48).eval()
    price = {str(units): own for units, own in cliff(8, 0.3).items() if units <= 16}
    monkeypatch.setattr(module, "_measured", lambda *_: price)
    budget = {"density": 0.6, "metric": "params", "round_to": "auto"}
    small = prunus.prune(model, BATCHES, sites=["neurons"], score="magnitude", select="greedy",
                         recover=[], budget=budget)  # fmt: skip
    kept = [layer.intermediate.dense.out_features for layer in small.bert.encoder.layer]
    assert all(units % 8 == 0 for units in kept)
    assert sum(kept) < 96


def test_kinds_are_rounded_apart():
    model = tiny("bert", heads=6, intermediate_size=48).eval()
    budget = {"density": 0.6, "metric": "params", "round_to": {"neurons": 16, "heads": 2}}
    small = prunus.prune(model, BATCHES, score="magnitude", select="greedy", recover=[],
                         budget=budget)  # fmt: skip
    for layer in small.bert.encoder.layer:
        assert layer.intermediate.dense.out_features % 16 == 0
        assert layer.attention.self.num_attention_heads % 2 == 0


def test_a_kind_that_is_not_there_is_refused():
    with pytest.raises(PrunusError, match="neurons"):
        prunus.prune(tiny("bert"), BATCHES, budget={"density": 0.5, "round_to": {"neuron": 8}})


@pytest.mark.parametrize("said", [0, -1, "some", 2.5, {"neurons": 0}])
def test_what_is_no_step_is_refused(said):
    with pytest.raises(PrunusError, match="round_to"):
        prunus.prune(tiny("bert"), BATCHES, budget={"density": 0.5, "round_to": said})


def test_auto_is_no_step_before_it_is_measured():
    with pytest.raises(PrunusError, match="depends on the model"):
        Budget(density=0.5, round_to="auto").require_known()
