"""Adapters on disk: alone beside their base, and as peft's LoRA."""

import copy
import json
import warnings

import pytest
import torch
from peft import PeftModel
from torch import nn

import prunus
from prunus.adapt import adapted, attach, freeze, merge
from prunus.anatomy import anatomy
from prunus.checkpoint import export_peft, load_adapters, save, save_adapters
from prunus.checkpoint._files import seal
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.registry import names
from tests.tiny import batch_of, far, outputs, tiny


def plan_of(model, *kinds):
    """About half of every site goes, and all of the first."""
    sites = anatomy(model).of(*kinds).values()
    masks = {
        site.name: torch.arange(site.units) % 2 == number % 2 for number, site in enumerate(sites)
    }
    first = next(iter(masks))
    return Plan(masks | {first: torch.zeros_like(masks[first])})


def trained(model, **spec):
    """The model with adapters, and everything that learns moved."""
    attach(model, {"name": "splora", **spec})
    torch.manual_seed(5)
    for name in freeze(model):
        nn.init.normal_(model.get_parameter(name), 0.1, 0.2)
    return model


@pytest.mark.parametrize("method", names("adapt"))
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "t5", "vit"])
def test_they_come_back_bit_for_bit(family, method, tmp_path):
    base = tiny(family)
    plan, dense = plan_of(base, "heads", "neurons"), copy.deepcopy(base.state_dict())
    small = {"block": "2x2", "prototypes": 3} if method == "splopa" else {}
    model = trained(prunus.shrink(base, plan), name=method, **small)
    save_adapters(model, tmp_path / "a", base, plan)
    state = torch.get_rng_state()
    again = load_adapters(base, tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), state)
    batch = batch_of(base)
    assert torch.equal(outputs(again, batch), outputs(model, batch))
    assert type(again) is type(model)
    assert adapted(again).keys() == adapted(model).keys()
    assert merge(again) == merge(model)
    assert torch.equal(outputs(again, batch), outputs(model, batch))
    assert all(torch.equal(own, dense[name]) for name, own in base.state_dict().items())


def test_they_hold_nothing_that_the_base_has(tmp_path):
    base = tiny("bert")
    plan = plan_of(base, "neurons")
    model = trained(prunus.shrink(base, plan), rank=0.1)
    save_adapters(model, tmp_path / "a", base, plan)
    from safetensors.torch import load_file

    held = load_file(tmp_path / "a/adapters.safetensors")
    assert set(held) == {
        name for name, own in model.named_parameters() if own.requires_grad and own.numel()
    }
    record = json.loads((tmp_path / "a/adapters.json").read_text())
    up = record["adapters"]["bert.encoder.layer.1.intermediate.dense"]
    assert up == {"name": "splora", "init_range": 0.0, "head": False, "rank": 1}
    assert Plan.load(tmp_path / "a/plan.safetensors") == plan


def test_weights_that_were_mended_are_kept_too(tmp_path):
    base = tiny("bert")
    plan = plan_of(base, "neurons")
    model = trained(prunus.shrink(base, plan), init_range=0.1)
    name = "bert.encoder.layer.1.output.dense.weight"
    with torch.no_grad():
        model.get_parameter(name).mul_(2)
    save_adapters(model, tmp_path / "a", base, plan)
    again = load_adapters(base, tmp_path / "a")
    assert all(torch.equal(own, again.state_dict()[n]) for n, own in model.state_dict().items())


def test_a_folder_without_grids_is_read(tmp_path):
    base = tiny("bert")
    plan = plan_of(base, "neurons")
    model = trained(prunus.shrink(base, plan))
    save_adapters(model, tmp_path / "a", base, plan)
    path = tmp_path / "a/adapters.json"
    record = json.loads(path.read_text())
    del record["grids"]
    for number, message in ((1, ""), (3, "format 3 and was written by a newer prunus")):
        path.write_text(json.dumps({**record, "format": number}))
        seal(tmp_path / "a")
        if message:
            with pytest.raises(PrunusError, match=message):
                load_adapters(base, tmp_path / "a")
        else:
            again = load_adapters(base, tmp_path / "a")
            assert torch.equal(outputs(again, batch_of(base)), outputs(model, batch_of(base)))


def test_another_base_is_refused(tmp_path):
    base = tiny("bert")
    plan = plan_of(base, "neurons")
    save_adapters(trained(prunus.shrink(base, plan)), tmp_path / "a", base, plan)
    with pytest.raises(PrunusError, match="was trained on other weights"):
        load_adapters(tiny("bert", seed=1), tmp_path / "a")


def test_what_does_not_fit_is_told(tmp_path):
    base = tiny("bert")
    plan = plan_of(base, "neurons")
    model = prunus.shrink(base, plan)
    with pytest.raises(PrunusError, match=r"has no adapter to save; use prunus\.save"):
        save_adapters(model, tmp_path / "a", base, plan)
    trained(model)
    with pytest.raises(PrunusError, match="is not of the shape that it has in the base"):
        save_adapters(model, tmp_path / "a", base, Plan())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    for write in (lambda f: save_adapters(model, f, base, plan), lambda f: export_peft(model, f)):
        with pytest.raises(PrunusError, match="name another folder"):
            write(tmp_path / "mine")
    with pytest.raises(PrunusError, match="holds no adapters"):
        load_adapters(base, tmp_path / "mine")
    with pytest.raises(PrunusError, match="has an adapter: merge it first"):
        save(model, tmp_path / "whole")
    save_adapters(model, tmp_path / "a", base, plan)
    tensors = tmp_path / "a/adapters.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(PrunusError, match="is not the file that was saved"):
        load_adapters(base, tmp_path / "a")


@pytest.mark.parametrize("method", ["lora", "splora"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "vit"])
def test_peft_answers_like_the_model(family, method, tmp_path):
    base = tiny(family)
    pruned = prunus.shrink(base, plan_of(base, "neurons"))
    model = trained(copy.deepcopy(pruned), name=method, rank=0.2)
    batch = batch_of(base)
    assert far(outputs(model, batch), outputs(pruned, batch)) > 1e-2
    export_peft(model, tmp_path / "peft")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")
        opened = PeftModel.from_pretrained(pruned, str(tmp_path / "peft")).eval()
    assert far(outputs(opened, batch), outputs(model, batch)) < 1e-5
    assert far(outputs(opened.merge_and_unload(), batch), outputs(model, batch)) < 1e-5


class Net(nn.Module):
    """Convolutions, a batch norm and a head, in plain torch."""

    def __init__(self, **more):
        super().__init__()
        self.config = {"model_type": "custom"}
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, (1, 3), **more)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.second(self.norm(self.first(x)).relu()).mean((2, 3)))


@pytest.mark.parametrize("method", ["lora", "splora"])
def test_peft_answers_like_convolutions(method, tmp_path):
    torch.manual_seed(0)
    net = Net().eval()
    model = trained(copy.deepcopy(net), name=method, rank=2)
    nn.init.uniform_(model.norm.running_var, 0.5, 2)
    export_peft(model, tmp_path / "peft")
    opened = PeftModel.from_pretrained(net, str(tmp_path / "peft")).eval()
    x = torch.randn(2, 3, 9, 9)
    assert far(opened(x).detach(), model(x).detach()) < 1e-5


@pytest.mark.parametrize(
    ("more", "spec", "message"),
    [
        ({"groups": 2}, {}, "second: peft's LoRA cannot say adapters of grouped convolutions"),
        ({"dilation": 2}, {}, "adapters of dilated convolutions"),
        ({"padding": 1, "padding_mode": "reflect"}, {}, "padding of the mode reflect"),
        ({}, {"name": "sppara"}, "first: peft's LoRA cannot say a delta of full rank"),
        ({}, {"name": "lokr"}, "first: peft's LoRA cannot say a delta made of blocks"),
    ],
)
def test_what_peft_cannot_say_is_told(more, spec, message, tmp_path):
    model = trained(Net(**more), **spec)
    with pytest.raises(PrunusError, match=message):
        export_peft(model, tmp_path / "peft")
    assert not (tmp_path / "peft").exists()
