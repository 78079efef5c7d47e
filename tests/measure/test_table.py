import json
from itertools import pairwise

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.measure import _cached, _sublayers
from prunus.measure import table as module
from prunus.measure._clock import Call
from prunus.measure._sublayers import given, layers, rounds, widths
from prunus.measure.table import table
from prunus.measure.target import correct, inputs, measured, paired
from prunus.plan import Plan
from prunus.select._budget import At
from prunus.site import Site
from tests.tiny import FAMILIES, batch_of, tiny

AT = At(batch=2, length=6, threads=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and few rounds: these tests are of the arithmetic, not of the times."""
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_sublayers, "LEAST", 2)
    monkeypatch.setattr(_sublayers, "SECONDS", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch):
    """How often a table was measured."""
    seen = []
    measure = module._measure
    monkeypatch.setattr(module, "_measure", lambda *a: seen.append(1) or measure(*a))
    return seen


def fed(model):
    batch = batch_of(model)
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = batch["input_ids"]
    batch.pop("labels", None)
    return batch


@pytest.mark.parametrize("family", FAMILIES)
def test_every_sublayer_of_every_family_has_a_rising_curve(family):
    model = tiny(family, layers=3)
    found = table(model, fed(model), AT)
    sites = anatomy(model)
    fine = sites.of("heads", "neurons")
    assert set(found.sites) == set(fine)
    assert found.dense > 0 < found.bare
    for name, index in found.sites.items():
        curve = found.curves[index]
        assert (curve.units[0], curve.units[-1], curve.ms[0]) == (0, sites[name].units, 0)
        assert all(one <= two for one, two in pairwise(curve.ms))
        assert len(curve.nanoseconds(found.scale)) == sites[name].units + 1
    cost = found.cost(sites, fine)
    assert cost(dict.fromkeys(fine, 0)) == pytest.approx(found.bare * 1e6, abs=9)
    if found.scale:
        assert cost({}) == pytest.approx(found.dense * 1e6, abs=len(found.sites) + 9)


def test_layers_that_compute_alike_share_their_curves():
    bert, t5 = tiny("bert", layers=3), tiny("t5", layers=3)
    assert len(table(bert, fed(bert), AT).curves) == 2
    assert len(table(t5, fed(t5), AT).curves) == 2 * (2 + 3)  # first blocks make the position bias
    sites = anatomy(bert)
    plan = Plan({"encoder.layer.1:heads": torch.tensor([True, False, True, True])})
    small = shrink(bert, plan, sites)
    assert len(table(small, fed(small), AT).curves) == 4


def test_a_pruned_model_has_a_table_too():
    model = tiny("bert")
    plan = Plan(
        {"encoder.layer.0:heads": torch.zeros(4), "encoder.layer.1:neurons": torch.zeros(24)}
    )
    found = table(shrink(model, plan), fed(model), AT)
    assert set(found.sites) == {"encoder.layer.0:neurons", "encoder.layer.1:heads"}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_called_as_their_model_calls_them(family):
    model = tiny(family)
    batch = inputs(model, fed(model), AT)
    for layer in layers(model, anatomy(model)):
        args, kwargs = given(model, [layer.path], batch)[layer.path]
        module_ = model.get_submodule(layer.path)
        seen = []
        handle = module_.register_forward_hook(lambda *a, seen=seen: seen.append(a[-1]))
        with torch.inference_mode():
            model(**batch)
            module_(*args, **kwargs)
        handle.remove()
        one, two = (out[0] if isinstance(out, tuple) else out for out in seen)
        assert torch.allclose(one, two, atol=1e-6)


def test_the_model_is_left_as_it_was():
    model = tiny("t5").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    table(model, fed(model), AT)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_table_is_measured_once(counted):
    model = tiny("bert")
    one, two = (table(model, fed(model), AT) for _ in range(2))
    assert one == two
    assert one.path.is_file()
    assert counted == [1]
    table(tiny("bert", seed=1), fed(model), AT)  # other weights take the same time
    assert counted == [1]


@pytest.mark.parametrize(
    "change",
    ["batch", "length", "threads", "shape", "activation", "attention", "torch", "machine", "dtype"],
)
def test_a_table_of_something_else_is_not_used(change, counted, monkeypatch):
    model = tiny("bert")
    batch, at = fed(model), AT
    table(model, batch, at)
    if change in At.model_fields:
        at = at.model_copy(update={change: getattr(at, change) + 1})
    elif change == "shape":
        model = tiny("bert", intermediate_size=16)
    elif change == "activation":
        model = tiny("bert", hidden_act="relu")
    elif change == "attention":
        model.set_attn_implementation("eager")
    elif change == "dtype":
        model = model.bfloat16()
    elif change == "torch":
        monkeypatch.setattr(module, "versions", lambda: {"torch": "0", "transformers": "0"})
    else:
        monkeypatch.setattr(module, "hardware", lambda: {"cpu": "another"})
    table(model, batch, at)
    assert counted == [1, 1]


@pytest.mark.parametrize("damage", ["number", "facts", "format", "cut off", "no object", "empty"])
def test_a_damaged_or_foreign_file_is_not_used(damage, counted):
    model = tiny("bert")
    path = table(model, fed(model), AT).path
    held = json.loads(path.read_text())
    if damage == "number":
        held["found"]["dense"] /= 2
    elif damage == "facts":
        held["facts"]["hardware"]["cpu"] = "another"
        held["sha256"] = _cached._digest({k: v for k, v in held.items() if k != "sha256"})
    elif damage == "format":
        held["format"] = 99
        held["sha256"] = _cached._digest({k: v for k, v in held.items() if k != "sha256"})
    text = json.dumps(held)
    text = {"cut off": text[:-9], "no object": "[1]", "empty": ""}.get(damage, text)
    path.write_text(text)
    found = table(model, fed(model), AT)
    assert counted == [1, 1]
    assert found == table(model, fed(model), AT)
    assert counted == [1, 1]


def test_a_file_of_another_prunus_is_not_used(counted):
    model = tiny("bert")
    found = table(model, fed(model), AT)
    _cached.keep(found.facts, module.KIND, {"dense": 1.0})
    assert table(model, fed(model), AT).sites == found.sites
    assert counted == [1, 1]


def test_a_cache_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "file"))
    model = tiny("bert")
    with pytest.raises(PrunusError, match="set PRUNUS_CACHE"):
        table(model, fed(model), AT)


def test_a_model_without_so_many_positions_is_refused():
    model = tiny("bert")
    with pytest.raises(PrunusError, match="length 33: the model has positions for 32 tokens"):
        table(model, fed(model), At(length=33))


def test_sites_that_no_table_knows_are_refused():
    model = tiny("llama")
    found, sites = table(model, fed(model), AT), anatomy(model)
    with pytest.raises(PrunusError, match="not for queries; leave them out"):
        found.cost(sites, sites.of("queries"))


def test_widths_are_every_head_and_some_multiples_of_the_grain():
    def of(kind, units):
        return widths(Site("a", kind, (units,), ()))

    assert of("heads", 5) == [1, 2, 3, 4, 5]
    assert of("heads", 1) == [1]
    assert of("neurons", 1536) == [8, *range(96, 1537, 96)]
    assert of("neurons", 20) == [8, 16, 20]
    assert of("neurons", 3) == [3]


def test_between_two_times_a_curve_is_straight_but_for_its_grain():
    curve = module.Curve(units=(0, 8, 32), ms=(0.0, 1.0, 4.0), grain=8)
    found = curve.nanoseconds(0.5)
    assert found[:9] == (0, *[500_000] * 8)
    assert found[9:17] == (1_000_000,) * 8
    assert found[32] == 2_000_000
    heads = module.Curve(units=(0, 1, 2), ms=(0.0, 1.0, 1.5), grain=1)
    assert heads.nanoseconds(1.0) == (0, 1_000_000, 1_500_000)


def test_times_are_made_to_rise_by_least_squares():
    site = Site("a", "heads", (3,), ())
    ms = {("", 0): 1.0, ("a", 1): 2.0, ("a", 2): 5.0, ("a", 3): 4.0}
    assert module._curve(ms, site).ms == (0.0, 1.0, 3.5, 3.5)


def test_rounds_time_every_call_and_turn_back(monkeypatch):
    order = []

    class Fixed(Call):
        def __init__(self, name):
            self.name, self.device = name, torch.device("cpu")

        def time(self):
            order.append(self.name)
            return self.name, 0.0

    assert rounds([Fixed(1.0), Fixed(2.0)], lambda *_: None).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert order == [1.0, 2.0, 2.0, 1.0]


def test_the_aim_is_corrected_by_the_ratio():
    assert correct(50.0, 49.0, 56.0) == pytest.approx(43.75)
    with pytest.raises(PrunusError, match="above 0 ms"):
        correct(50.0, 0.0, 56.0)


def test_measuring_the_call_that_is_meant():
    model = tiny("bert")
    assert measured(model, fed(model), AT) > 0
    found = paired(model, shrink(model, Plan()), fed(model), AT)
    assert (found.threads, found.speedup > 0) == (1, True)
    shapes = {name: tuple(tensor.shape) for name, tensor in inputs(model, fed(model), AT).items()}
    assert shapes == {"input_ids": (2, 6)}
