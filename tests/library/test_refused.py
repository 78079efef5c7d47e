"""What a library cannot do is said before anything is tuned."""

import json
import re

import pytest

import prunus
from prunus.errors import PrunusError
from tests.library.drives import CLOSED, PAIR, TUNED, compose, data, drive, job
from tests.tiny import tiny

SETTINGS = {
    "neither": ({}, r"say either configurations .* or densities"),
    "both": ({"configurations": PAIR, "densities": [0.5]}, r"say either configurations"),
    "pick": ({"configurations": PAIR, "pick": 2}, r"pick: 2: there are 2 configurations.*from 0"),
    "lengths": (
        {"configurations": {"heads": [0.5, 0.5], "neurons": [0.5]}},
        r"must be equally long; got heads 2, neurons 1",
    ),
    "zero": ({"configurations": [{"heads": 0}]}, r"configurations: 0: heads.*above 0"),
    "above": ({"configurations": [{"heads": 0.5}, {"heads": 1.5}]}, r"configurations: 1: heads"),
    "word": ({"configurations": [{"heads": "half"}]}, r"heads.*got 'half'"),
    "none": ({"configurations": []}, r"expected a list of mappings"),
    "no file": ({"configurations": "nowhere.json"}, r"configurations: .*nowhere.json is no file"),
    "density": ({"densities": [0.5, 1.5]}, r"densities.1.*less than or equal to 1"),
    "held": ({"configurations": PAIR, "held": 0}, r"held"),
    "key": ({"configurations": PAIR, "picks": 1}, r"picks.*pick"),
    "finish": ({"configurations": PAIR, "finish": "least_square"}, r"Did you mean 'least_squares'"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings(case, tmp_path):
    said, match = SETTINGS[case]
    with pytest.raises(PrunusError, match=re.compile(match, re.DOTALL)):
        drive(tmp_path, **said)


RUNS = {
    "kind": ({}, [{"head": 0.5}], {}, r"'head'.*Did you mean 'heads'"),
    "site": ({}, [{"encoder.layer.9:heads": 0.5}], {}, r"encoder.layer.9:heads"),
    "layers": ({"sites": "layers"}, [{"layers": 0.5}], {}, r"is no module by itself"),
    "sublayers": ({"sites": "sublayers"}, [{"sublayers": 0.5}], {}, r"must have several units"),
    "pattern": (
        {"sites": {"grid": "2:4", "match": ".*query"}}, [{"grid": 0.25}], {}, "density 0.25 allows",
    ),
    "channels": (
        {"sites": ["heads", "channels"]}, [{"heads": 0.5}], {}, r"is no module by itself",
    ),
    "shared": (
        {"sites": ["heads", {"grid": "1x1", "match": ".*attention.output.dense"}]},
        [{"heads": 0.5}], {}, r"share .*attention.output.dense.weight.*narrow the sites",
    ),
    "missing": ({}, PAIR, {"tune": False}, r"lacks 4 of 8 modules|lacks 8 of 8 modules, such as"),
    "entry": ({"recover": ("input_map", "least_squares")}, PAIR, {}, r"input_map mends what a"),
    "finish at module": ({}, PAIR, {"finish": "modulewise"}, r"recover: modulewise tunes every"),
    "finish of grids": ({"recover": CLOSED}, PAIR, {"finish": "sparsegpt"}, r"sparsegpt mends lin"),
    "recovery": ({}, PAIR, {"recovery": 2}, r"library needs labelled data"),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNS)
def test_runs(case, tmp_path):
    said, configurations, settings, match = RUNS[case]
    own = job(**said)
    with pytest.raises(PrunusError, match=re.compile(match, re.DOTALL)):
        compose(own, tmp_path, configurations, **settings)
    assert not list(tmp_path.glob("??/*.safetensors"))


def test_a_single_batch_cannot_be_held_out(tmp_path):
    model = tiny("bert")
    with pytest.raises(PrunusError, match=r"holds 1 of 1 batches out; give it more data"):
        compose(job(model, batches=data(model, 1)), tmp_path, PAIR)


@pytest.mark.parametrize("name", ["oneshot", "sweep", "iterative"])
def test_other_drives_do_not_tune_apart(name, tmp_path):
    model = tiny("bert")
    with pytest.raises(PrunusError, match=r"modulewise tunes every .*use drive: library"):
        prunus.prune(model, data(model), drive=name, recover=TUNED)


def test_the_defaults_of_the_call_in_python_say_what_to_leave_out(tmp_path):
    model = tiny("bert")
    said = {"name": "library", "configurations": PAIR, "folder": str(tmp_path)}
    with pytest.raises(PrunusError, match=r"input_map mends what a sublayer reads"):
        prunus.prune(model, data(model), drive=said)


def test_configurations_are_read_in_many_forms(tmp_path):
    every = [{"heads": 0.5, "neurons": 0.25}, {"heads": 1.0, "neurons": 0.75}]
    forms = [every, {"heads": [0.5, 1], "neurons": [0.25, 0.75]}]
    path = tmp_path / "configurations.json"
    path.write_text(json.dumps(every))
    for form in (*forms, str(path)):
        own = drive(tmp_path, form)
        assert own.configurations.told() == every
    assert drive(tmp_path, {"heads": 0.5}).configurations.told() == [{"heads": 0.5}]


def test_a_name_goes_before_a_module_and_that_before_a_kind():
    own = job("t5")
    block = "encoder.block.0.layer.0.SelfAttention"
    name, reader = next((n, s.reader) for n, s in own.sites.items() if s.reader.startswith(block))
    said = {"heads": 0.5, block: 0.25}
    assert drive("x", [said]).configurations.on(own.sites)[0][name] == 0.25
    assert drive("x", [said | {reader: 0.3}]).configurations.on(own.sites)[0][name] == 0.3
    assert drive("x", [said | {name: 0.75}]).configurations.on(own.sites)[0][name] == 0.75
    assert name not in drive("x", [said | {name: 1.0}]).configurations.on(own.sites)[0]
