"""A recipe is checked without weights: the model is made of its configuration alone."""

import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from transformers import LlamaConfig

import prunus
from prunus.anatomy import anatomy
from prunus.checkpoint import outline
from prunus.probe.work import single, work
from prunus.recipe import read
from prunus.recipe.check import check
from tests.recipes.dense import recipe, reviews, wordpiece
from tests.tiny import FAMILIES, auto_heads, batch_of, tiny

HEADS = [(family, head) for family in FAMILIES for head in auto_heads(family)]
SEVENTY = {
    "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "intermediate_size": 28672, "vocab_size": 128256,
}  # fmt: skip
PEAK = """
import resource, sys
from prunus.cli import main
try:
    main(sys.argv[1:])
finally:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    print(spent.ru_maxrss, spent.ru_utime + spent.ru_stime, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def outlined(tmp_path_factory):
    """A recipe beside a model of which only the weights are missing."""
    folder = tmp_path_factory.mktemp("outlined")
    path = recipe(folder)
    shutil.copytree(folder / "dense", folder / "whole")
    (folder / "dense/model.safetensors").unlink()
    return path


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("vocab=seen",),
        ("budget={max_bytes: 60000}",),
        ("budget={density: .5, round_to: {neurons: 8}}",),
        ("sites={grid: 2x1}", "score=wanda", "select=greedy", "recover=sparsegpt"),
        ("drive=sweep", "budget.metric=params"),
    ],
)
def test_what_is_told_without_weights_is_told_with_them(outlined, changes, monkeypatch):
    found = check(read(outlined, changes))
    monkeypatch.setattr("prunus.recipe.check.outline", prunus.load)
    assert found == check(read(outlined, [*changes, f"model={outlined.parent / 'whole'}"]))


def test_what_computes_asks_for_weights(outlined):
    with pytest.raises(prunus.errors.PrunusError, match=r"model\.safetensors"):
        check(read(outlined, ["budget={density: .5, metric: latency}"]))


@pytest.mark.parametrize(("family", "head"), HEADS)
def test_work_is_counted_without_weights(family, head):
    model = tiny(family, head)
    with torch.device("meta"):
        blank = type(model)._from_config(model.config).eval()
    batch = single(batch_of(model))
    assert work(blank, batch) == work(model, batch)
    assert dict(anatomy(blank)) == dict(anatomy(model))
    assert all(parameter.is_meta for parameter in blank.parameters())


def test_a_pruned_model_is_outlined_as_it_is(place, finished):
    blank, model = outline(finished / "model"), prunus.load(finished / "model")
    assert type(blank) is type(model)
    shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in (blank, model)]
    assert shapes[0] == shapes[1]


def test_seventy_billion_parameters_are_planned_in_a_minute(tmp_path):
    config = LlamaConfig(
        **SEVENTY, num_labels=2, pad_token_id=0, architectures=["LlamaForSequenceClassification"]
    )
    config.save_pretrained(tmp_path / "model")
    wordpiece().save_pretrained(tmp_path / "model")
    said = {
        "model": str(tmp_path / "model"),
        "task": {
            "name": "text_classification", "data": str(reviews(tmp_path / "reviews.csv")),
            "splits": {"train": 24, "calibration": 16, "validation": 20},
        },
        "budget": {"density": 0.5},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(said))
    command = [sys.executable, "-c", PEAK, "check", str(tmp_path / "recipe.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "28,672" in done.stdout
    assert "68,4" in done.stdout
    kibibytes, seconds = map(float, done.stderr.splitlines()[-1].split())
    assert kibibytes < 2 * 2**20
    assert seconds < 60
