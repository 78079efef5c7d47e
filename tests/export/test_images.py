"""Networks of convolutions, their channels pruned: traced like any, with their processor beside."""

import json

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.checkpoint import adopt
from prunus.edit import shrink
from prunus.export import export, load
from prunus.registry import build
from tests.architectures import CONFIGS, network
from tests.cli.conftest import prunus_ as prunus_
from tests.contract.test_traced import some
from tests.networks.test_networks import SMALL, small
from tests.pictures import SIZE, resnet
from tests.tiny import scramble

WHOLE = {"Beit"}
"""Of which prunus cuts no channels."""
OTHERS = ("onnx", "openvino")
CASES = [
    *((name, "pt2") for name in (*CONFIGS, *SMALL)),
    *((name, to) for to in OTHERS for name in ("ResNet", "RegNet", "EfficientNet", *SMALL)),
]


def images(count, side):
    """Some, so bright that what is random does not hide them."""
    torch.manual_seed(count)
    return {"pixel_values": 100 * torch.randn(count, 3, side, side)}


def cut(name):
    """A network without some of its channels, and the side of its images."""
    in_prunus = name in SMALL
    model = small(name)[0] if in_prunus else scramble(network(name))
    side = SMALL[name][1] if in_prunus else 32
    if name in WHOLE:
        return model, side
    sites = anatomy(model, images(1, side)).of("channels")
    return adopt(shrink(model, some(sites, 4), sites)), side


@pytest.mark.parametrize(("name", "to"), CASES)
def test_answers_are_those_of_torch(name, to, tmp_path):
    model, side = cut(name)
    batches = [images(3, side), images(2, side)]
    facts = export(model, tmp_path / "out", build("export", to), batches)
    assert facts.difference <= 1e-4
    there, batch = load(tmp_path / "out", threads=1), images(5, side)
    with torch.no_grad():
        right, said = model(**batch).logits, there(**batch).logits
    assert right.std(0).max() > 2e-4 * right.abs().max()  # it is about the images
    assert float((said - right).abs().max() / right.abs().max()) <= 1e-4


@pytest.mark.parametrize("to", OTHERS)
def test_a_task(to, tmp_path, prunus_):
    resnet(tmp_path / "dense", 10)
    said = {"model": str(tmp_path / "dense"), "task": "image_classification", "budget": 0.5}
    (tmp_path / "recipe.yaml").write_text(json.dumps(said))
    args = ("--recipe", tmp_path / "recipe.yaml", "--quiet")
    assert prunus_("export", tmp_path / "dense", "--to", to, *args) == (0, "", "")
    folder = tmp_path / f"dense-{to}"
    assert load(folder).facts.quality["n"] == 360
    told = [json.loads((tmp_path / n / "preprocessor_config.json").read_text())
            for n in ("dense", folder.name)]  # fmt: skip
    assert told[0] == told[1]
    assert prunus_("eval", folder, *args) == prunus_("eval", tmp_path / "dense", *args)
    code, _, err = prunus_("bench", folder, folder, "--pairs", 5, "--quiet")
    assert (code, err) == (0, "")


def test_noise_has_the_size_that_the_processor_says(tmp_path, prunus_):
    resnet(tmp_path / "dense", 10)
    assert prunus_("export", tmp_path / "dense", "--to", "pt2", "--quiet") == (0, "", "")
    there = load(tmp_path / "dense-pt2")
    assert there.facts.graphs["model"].inputs["pixel_values"].axes == ("batch", 3, SIZE, SIZE)
