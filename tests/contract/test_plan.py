"""Plans are values: saved and loaded bit for bit, combined, compared, hashed; dense = identity."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from tests.contract.draw import Case, cases, random_plan
from tests.tiny import FAMILIES, HEADS, outputs, tiny


@st.composite
def plans(draw):
    """Masks on grids of one and two dimensions, also none."""
    shapes = st.one_of(
        st.tuples(st.integers(1, 9)), st.tuples(st.integers(1, 9), st.integers(1, 9))
    )
    found = draw(st.dictionaries(st.text(min_size=1, max_size=9), shapes, max_size=4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    keep = {name: torch.rand(shape, generator=generator) < 0.5 for name, shape in found.items()}
    return Plan(keep, draw(st.text(max_size=9)))


def text(plan):
    """All that a plan says."""
    return plan.model, {name: (mask.dtype, mask.tolist()) for name, mask in plan.items()}


@pytest.mark.parametrize("name", ["plan.json", "plan.safetensors", "deep/er/plan"])
@given(plans())
@settings(max_examples=25)
def test_save_then_load_is_the_identity(tmp_path_factory, name, plan):
    path = tmp_path_factory.mktemp("plan") / name
    plan.save(path)
    again = Plan.load(path)
    assert text(again) == text(plan)
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.fingerprint() == plan.fingerprint()
    assert not list(path.parent.glob(".*"))


@given(plans())
def test_saving_what_was_loaded_writes_the_same_bytes(tmp_path_factory, plan):
    folder = tmp_path_factory.mktemp("plan")
    for name in ("plan.json", "plan.safetensors"):
        plan.save(folder / name)
        first = (folder / name).read_bytes()
        Plan.load(folder / name).save(folder / name)
        assert (folder / name).read_bytes() == first


def test_a_mask_may_lie_in_memory_as_it_likes(tmp_path):
    keep = (torch.arange(12).reshape(3, 4) % 5 == 0).T
    plan = Plan({"a:grid": keep})
    plan.save(tmp_path / "plan.safetensors")
    assert Plan.load(tmp_path / "plan.safetensors") == plan == Plan({"a:grid": keep.contiguous()})


def test_units_are_bits_and_plans_of_bytes_are_read(tmp_path):
    plan = Plan({"a:grid": torch.arange(35).reshape(5, 7) % 3 == 0}, "bert")
    plan.save(tmp_path / "new.safetensors")
    assert load_file(tmp_path / "new.safetensors")["a:grid"].shape == (5,)
    old = {name: mask.to(torch.uint8) for name, mask in plan.items()}
    told = {"prunus": json.dumps({"format": 1, "model": "bert"})}
    save_file(old, tmp_path / "old.safetensors", metadata=told)
    assert text(Plan.load(tmp_path / "old.safetensors")) == text(plan)
    wrong = {"prunus": json.dumps({"format": 2, "model": "", "shapes": {"a:grid": [5, 9]}})}
    save_file({"a:grid": torch.zeros(5, dtype=torch.uint8)}, tmp_path / "c", metadata=wrong)
    with pytest.raises(PrunusError, match="40 bits for a mask of 5x9"):
        Plan.load(tmp_path / "c")


def test_a_plan_does_not_follow_the_tensor_it_was_made_of():
    keep = torch.ones(4, dtype=torch.bool)
    plan = Plan({"a:heads": keep})
    before = plan.fingerprint()
    keep[0] = False
    assert plan.fingerprint() == before


@pytest.mark.parametrize("family", FAMILIES)
@given(st.data())
@settings(max_examples=3)
def test_the_dense_plan_is_the_identity(family, data):
    case = data.draw(cases(family))
    sites = case.sites | case.sites.grid(".*", (1, 1))
    for plan in (Plan.dense(sites), Plan()):
        small = shrink(case.model, plan, sites)
        before, after = case.model.state_dict(), small.state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert torch.equal(outputs(small, case.batch), outputs(case.model, case.batch))
        assert small.config.to_dict() == case.model.config.to_dict()
        assert type(small) is type(case.model)


def test_combining():
    one = Plan({"a": torch.tensor([1, 1, 0]), "b": torch.tensor([1, 0])}, "one")
    other = Plan({"a": torch.tensor([0, 1, 1]), "c": torch.tensor([0])}, "other")
    both = one & other
    assert both["a"].tolist() == [False, True, False]
    assert set(both) == {"a", "b", "c"}
    assert (one | other)["a"].tolist() == [False, True, True]
    assert one["a"].tolist() == [True, True, False]
    assert (one | other).model == "one"


def test_comparing():
    one = Plan({"a": torch.tensor([1, 1, 0]), "b": torch.tensor([1, 0])})
    other = Plan({"b": torch.tensor([1, 0]), "a": torch.tensor([0, 1, 1])})
    here, there = one.diff(other)["a"]
    assert (here.tolist(), there.tolist()) == ([0], [2])
    assert one.diff(one) == {}
    assert one != other
    assert one == Plan(dict(reversed(list(one.items()))), "another model")
    assert one != {"a": 1}


def test_a_plan_of_another_grid_is_another_plan():
    assert Plan({"a": torch.ones(6)}) != Plan({"a": torch.ones(2, 3)})
    assert Plan({"a": torch.ones(6)}) != Plan({"b": torch.ones(6)})


def test_printing():
    plan = Plan({"a:heads": torch.tensor([1, 1, 0])})
    assert repr(plan) == "Plan of 1 sites\n  a:heads: 2 of 3"
    assert plan.kept() == {"a:heads": (2, 3)}


def write_json(path, **changes):
    path.write_text(json.dumps({"format": 1, "model": "", "sites": {}, **changes}))


def test_what_is_no_plan_is_told(tmp_path):
    broken = {
        "missing.json": None,
        "missing.safetensors": None,
        "text.json": lambda path: path.write_text("plan?"),
        "list.json": lambda path: path.write_text("[]"),
        "old.json": lambda path: write_json(path, format=7),
        "short.json": lambda path: write_json(path, sites={"a": {"shape": [3], "keep": "10"}}),
        "text.safetensors": lambda path: path.write_text("plan?"),
        "empty.safetensors": lambda path: path.write_bytes(b""),
        "weights.safetensors": lambda path: save_file({"a": torch.ones(2)}, path),
    }
    for name, make in broken.items():
        path = tmp_path / name
        if make:
            make(path)
        with pytest.raises(PrunusError, match="not a readable plan") as caught:
            Plan.load(path)
        assert str(path) in str(caught.value)
        assert name != "old.json" or "format 7" in str(caught.value)


def test_a_truncated_plan_is_told(tmp_path):
    for name in ("plan.json", "plan.safetensors"):
        Plan({"a:heads": torch.ones(100)}).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for length in range(0, len(whole) - 1, 23):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(PrunusError, match="not a readable plan"):
                Plan.load(tmp_path / name)


def test_the_plan_of_another_model_is_told():
    large, small = (Case("bert", "BertModel", 0, {"layers": layers}) for layers in (3, 2))
    plan = Plan(random_plan(large.sites, 0), model="bert-large")
    with pytest.raises(PrunusError) as caught:
        shrink(small.model, plan)
    assert "'encoder.layer.2:heads', which the model of BertModel lacks" in str(caught.value)
    assert "The plan was made for 'bert-large'." in str(caught.value)


def test_the_plan_of_other_widths_is_told():
    wide, narrow = (Case("bert", "BertModel", 0, {"heads": heads}) for heads in (4, 3))
    with pytest.raises(PrunusError) as caught:
        shrink(narrow.model, random_plan(wide.of("heads"), 0))
    expected = "site 'encoder.layer.0:heads' of BertModel has 3 units; the plan has a mask of 4"
    assert expected in str(caught.value)


def test_a_plan_without_channels_is_told():
    model = tiny("bert")
    with pytest.raises(
        PrunusError, match="'stream:channels': at least 1 of its channels must stay"
    ):
        shrink(model, Plan({"stream:channels": torch.zeros(32)}))


@pytest.mark.parametrize("queries", ["110100", "110000", "000000"])
def test_groups_of_unequal_queries_are_told(queries):
    model = tiny("llama", heads=6, groups=3)
    plan = Plan({"layers.0:queries": torch.tensor([bit == "1" for bit in queries])})
    with pytest.raises(PrunusError, match=r"'layers\.0:queries': every run of 2 units must keep"):
        shrink(model, plan)


def test_the_heads_of_every_family_take_plans_of_their_base():
    for family in FAMILIES:
        case = Case(family, HEADS[family].__name__, 0, {})
        assert any(name.endswith("0:neurons") for name in case.sites)
        assert not any(name.startswith(("bert.", "vit.", "model.")) for name in case.sites)
