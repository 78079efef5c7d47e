"""Configurations of neural-compressor as recipes."""

import json

import pytest
import yaml

import prunus
from prunus.anatomy import plain
from prunus.cli import main
from prunus.compat._layers import layers
from prunus.compat._read import pruners_in
from prunus.compat._recipe import recipe_of, written
from prunus.errors import PrunusError
from prunus.recipe import read
from prunus.recipe._parts import parts
from prunus.registry import build
from prunus.select import Budget
from tests.tiny import tiny

PRUNERS = [
    {"op_names": [".*output", "intermediate"], "pattern": "1x1", "pruning_scope": "local"},
    {"op_names": ["query$", ".*key"], "pattern": "4x1", "min_sparsity_ratio_per_op": 0.5,
     "excluded_op_names": ["pooler"], "sparsity_decay_type": "cube"},
]  # fmt: skip
COMMON = {"target_sparsity": 0.8, "start_step": 10, "end_step": 90, "pruning_frequency": 5,
          "pruning_op_types": ["Linear"]}  # fmt: skip
TASK = {"name": "glue", "subset": "sst2"}
PYTHON = """
from neural_compressor.training import WeightPruningConfig, prepare_pruning
pruners = {pruners}
steps = 90
config = WeightPruningConfig(pruners, end_step=steps, target_sparsity=0.8, start_step=10,
                             pruning_frequency=5, pruning_op_types=["Linear"])
prepare_pruning(model, config, optimizer)
raise SystemExit("this is never run")
"""


def in_yaml(**said):
    return yaml.safe_dump(said)


@pytest.fixture
def forms(tmp_path):
    """The same configuration, in every way that people write it."""
    texts = {
        "a.yaml": in_yaml(pruning_configs=PRUNERS, **COMMON),
        "b.json": json.dumps({"pruning_configs": PRUNERS, **COMMON}),
        "c.py": PYTHON.format(pruners=PRUNERS),
        "d.yaml": in_yaml(
            version=1.0,
            pruning={"approach": {"weight_compression_v2": {**COMMON, "pruners": PRUNERS}}},
        )
        .replace("- op_names:", "- !PrunerV2\n        op_names:")
        .replace("- excluded_op_names:", "- !PrunerV2\n        excluded_op_names:"),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    words = ", ".join(f"{key}={value!r}" for key, value in COMMON.items())
    lines = [f"pruning_configs={PRUNERS}, {words}", f"WeightPruningConfig({PRUNERS}, {words})"]
    return [*(str(tmp_path / name) for name in texts), *lines, texts["a.yaml"], texts["b.json"]]


def test_every_form_is_the_same(forms):
    found = [pruners_in(form) for form in forms]
    assert len(found[0]) == 2
    assert all(one == found[0] for one in found)


def test_a_recipe_says_what_the_configuration_said():
    recipe, notes = recipe_of(pruners_in(in_yaml(pruning_configs=PRUNERS, **COMMON)), "m", TASK)
    first, second = recipe["sites"]
    assert first == {
        "grid": "1x1",
        "match": ".*(?:.*output|intermediate).*",
        "types": ["Linear"],
        "indivisible": "skip",
    }
    assert second["match"] == "(?!.*(?:pooler)).*(?:query$|.*key).*"
    budget = Budget(**recipe["budget"] | {"rules": ()})
    assert (budget.density, budget.metric, budget.scope) == (0.2, "weights", "local")
    assert (budget.floor, budget.ceiling) == (0.02, 1.0)
    (rule,) = recipe["budget"]["rules"]
    assert (rule["density"], rule["scope"], rule["ceiling"]) == (0.2, "global", 0.5)
    assert rule["schedule"] == {"name": "cube", "warmup": 10, "every": 5}
    schedule = build("schedule", recipe["drive"]["schedule"])
    times = schedule.times(recipe["training"]["max_steps"])
    assert (times.start, times.end, times.every) == (10, 90, 5)
    assert any("max_steps" in note for note in notes)


def test_what_matches_is_what_the_original_took():
    model = tiny("bert", "BertForSequenceClassification")
    pruners = pruners_in(in_yaml(pruning_configs=PRUNERS, **COMMON))
    recipe, _ = recipe_of(pruners, "m", TASK)
    taken = {}
    for pruner, said in zip(pruners, recipe["sites"], strict=True):
        grid = said.pop("grid")
        taken = plain(model).grid(said.pop("match"), grid, **said)
        assert [name.removesuffix(":grid") for name in taken] == layers(model, pruner)
        both = plain(model).grid(".*", "1x1")
    budget = Budget(**{k: v for k, v in recipe["budget"].items() if k != "rules"}, rules=[
        {"match": recipe["budget"]["rules"][0]["match"], "density": 0.2}])  # fmt: skip
    ruled = budget.assign(both)
    assert [name for name, rule in ruled.items() if rule is not None] == list(taken)


@pytest.mark.parametrize(
    ("said", "key", "value"),
    [
        ({"pruning_type": "snip", "criterion_reduce_type": "max"}, "score",
         {"name": "snip", "reduce": "max"}),
        ({"pruning_type": "block_mask"}, "score", {"name": "block_mask", "reduce": "sum"}),
        ({"pruning_type": "magnitude"}, "score", {"name": "magnitude"}),
        ({"end_step": 0}, "drive",
         {"name": "gradual", "schedule": {"name": "one_shot", "warmup": 0}, "regrow": True}),
        ({"pruning_type": "pattern_lock", "end_step": 0}, "drive",
         {"name": "gradual", "schedule": {"name": "one_shot", "warmup": 0}, "lock": True}),
        ({"pruning_type": "snip_progressive", "end_step": 24, "pruning_frequency": 6}, "drive",
         {"name": "gradual", "schedule": {"name": "exponential", "warmup": 0, "every": 6},
          "regrow": True, "progressive": 4}),
        ({"pruning_type": "snip_progressive"}, "drive",  # no step between two choices
         {"name": "gradual", "schedule": {"name": "exponential", "warmup": 0, "every": 1},
          "regrow": True}),
        ({"reg_type": "group_lasso", "parameters": {"reg_coeff": 0.1}}, "drive",
         {"name": "gradual", "schedule": {"name": "exponential", "warmup": 0, "every": 1},
          "regrow": True, "lasso": 0.1}),
        ({"pattern": "mha"}, "sites", ["heads"]),
        ({"pattern": "1:4", "target_sparsity": 0.2}, "sites",
         [{"grid": "3:4", "match": ".*", "indivisible": "skip"}]),
        ({"pruning_op_types": ["Conv2d"]}, "sites",
         [{"grid": "4x1", "match": ".*", "types": ["Conv2d"], "indivisible": "skip"}]),
    ],
)  # fmt: skip
def test_each_setting_has_its_place(said, key, value):
    recipe, _ = recipe_of(pruners_in(in_yaml(**{"end_step": 9, **said})), "m", TASK)
    assert recipe[key] == value
    build("score", recipe["score"])


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ({"pattern": "1xchannel"}, "the original counted channels"),
        ({"pruning_type": "magnitude", "criterion_reduce_type": "sum"}, "mean |w|, not its sum"),
        ({"pattern": "mha", "op_names": ["query"]}, "whatever op_names says"),
        ({"lock_init_sparsity": True}, "already counts as gone"),
        ({"pruning_configs": [{}, {"end_step": 12}]}, "ended at different steps"),
        ({"pruning_configs": [{}, {"lock_init_sparsity": True}]}, "those of the first pruner"),
    ],
)
def test_what_differs_is_told_in_comments(said, note):
    text = written(*recipe_of(pruners_in(in_yaml(**{"end_step": 9, **said})), "m", TASK))
    assert any(note in line for line in text.splitlines() if line.startswith("# - "))
    assert yaml.safe_load(text)["model"] == "m"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("target_sparsty=0.5", "Did you mean 'target_sparsity'"),
        ("pruning_configs: [{patterns: 4x1}]", "Did you mean 'pattern'"),
        ("target_sparsity=args.sparsity", "code is read, not run"),
        ("target_sparsity=__import__('os').getpid()", "code is read, not run"),
        ("nowhere.yaml", "there is no such file"),
        ("hello", "holds no keys"),
        ("a: [1", "not YAML"),
        ("WeightPruningConfig(1", "not Python"),
        ("pruning_configs: 4x1", "is a list of mappings"),
        ("pruning_configs: [4x1]", "described by a mapping"),
        ("pruning_op_types: [Embedding]", "prunus takes Linear"),
        ("pruning_configs: [{}, {pruning_type: pattern_lock}]", "beside other pruners"),
    ],
)
def test_what_cannot_be_read_is_told(config, message, capsys):
    assert main(["import-inc", config]) == 2
    assert message in capsys.readouterr().err


def test_python_that_calls_nothing_is_told(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    with pytest.raises(PrunusError, match="no call of WeightPruningConfig"):
        pruners_in(str(tmp_path / "a.py"))


@pytest.mark.parametrize(
    "config",
    [
        "target_sparsity=0.5, pattern='2:4', end_step=40, pruning_frequency=4",
        "target_sparsity=0.5, pattern='1xchannel', pruning_type='magnitude'",
        "pruning_type='pattern_lock'",
        "pattern='mha', target_sparsity=0.5, end_step=40",
        in_yaml(pruning_configs=PRUNERS, **COMMON),
    ],
)
def test_what_is_written_is_a_recipe(config, tmp_path):
    path = tmp_path / "recipe.yaml"
    assert main(["import-inc", config, "--out", str(path)]) == 0
    assert type(parts(read(path)).drive).__name__ == "Gradual"


def test_what_is_written_runs_and_reaches_the_target(mirrored, tmp_path):
    config = in_yaml(pruning_configs=PRUNERS, **COMMON | {"start_step": 1, "end_step": 6})
    path, out = tmp_path / "recipe.yaml", tmp_path / "out"
    said = ["--model", str(mirrored / "dense"), "--out", str(path)]
    assert main(["import-inc", config, *said]) == 0
    few = [
        "drive.dead=false",
        "training.batch_size=8",
        "latency=null",
        "evaluation.baselines=false",
    ]
    assert main(["run", str(path), "--out", str(out), "--quiet", *few]) == 0
    model = prunus.load(out / "model")
    for pruner in pruners_in(config):
        weights = [model.get_submodule(name).weight for name in layers(model, pruner)]
        gone = sum(int((weight == 0).sum()) for weight in weights)
        assert gone / sum(weight.numel() for weight in weights) == pytest.approx(0.8, abs=5e-3)


def test_the_command_prints_or_writes_a_recipe(tmp_path, capsys):
    config = "target_sparsity=0.5, pattern='2:4', end_step=40"
    said = [config, "--model", "mine", "--task", "glue:mrpc"]
    assert main(["import-inc", *said]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "recipe.yaml"
    assert main(["import-inc", *said, "--out", str(path)]) == 0
    assert path.read_text() == printed
    found = yaml.safe_load(printed)
    assert found["task"] == {"name": "glue", "subset": "mrpc"}
    assert (found["model"], found["budget"]["density"]) == ("mine", 0.5)


def test_a_task_that_nobody_knows_is_refused(capsys):
    assert main(["import-inc", "target_sparsity=0.5, end_step=10", "--task", "sst2"]) == 2
    assert "unknown task 'sst2'" in capsys.readouterr().err
