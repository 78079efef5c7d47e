"""The published commands, on a tiny network and tiny data."""

import shlex
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest
import torch

import prunus
from prunus.compat import run_glue_no_trainer, run_glue_no_trainer_mixed
from prunus.compat._callbacks import Callbacks
from prunus.compat._config import PrunerConfig
from prunus.compat._flags import flags
from prunus.compat._glue import _objective, _times
from prunus.edit.pattern import in_blocks, n_of_m
from tests.docs.pages import ROOT, blocks
from tests.tiny import batch_of, tiny

PUBLISHED = (
    "--max_length 24 --per_device_train_batch_size 8 --learning_rate 1e-3 --num_train_epochs 3"
    " --weight_decay 1e-3 --do_prune --cooldown_epochs 1 --sparsity_warm_epochs 1"
    " --target_sparsity 0.5 --lr_scheduler_type constant --distill_loss_weight 5 --seed 0"
)


def arguments(place, out, more="", task="sst2", said=PUBLISHED):
    model = f"--model_name_or_path {place / 'dense'} --task_name {task} --output_dir {out}"
    return f"{model} {said} {more}".split()


def linear(folder):
    model = prunus.load(folder)
    return {
        name: module.weight.detach()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def share(weights, *parts):
    found = [w for name, w in weights.items() if any(part in name for part in parts)]
    return sum(int((w == 0).sum()) for w in found) / sum(w.numel() for w in found)


@pytest.mark.parametrize("task", ["sst2", "mrpc"])
def test_what_is_published_runs(task, mirrored, tmp_path, capsys):
    out = tmp_path / "out"
    more = "--pruning_pattern 4x1 --pruning_frequency 2"
    assert run_glue_no_trainer.main(arguments(mirrored, out, more, task)) == 0
    weights = linear(out)
    assert share(weights, "encoder") == pytest.approx(0.5, abs=1e-3)
    assert share(weights, "pooler", "classifier") == 0
    assert all(in_blocks(weight, (4, 1)) for name, weight in weights.items() if "encoder" in name)
    told = capsys.readouterr().out
    assert [told.count(f"epoch {epoch}: accuracy") for epoch in range(4)] == [1, 1, 1, 0]
    counted = sum(int((w == 0).sum()) for w in weights.values())
    every = sum(w.numel() for w in weights.values())
    assert f"elementwise_over_matmul_gemm_conv: {counted / every:.4f}" in told
    assert (out / "tokenizer.json").is_file()


@pytest.mark.parametrize("pattern", ["2:4", "1xchannel"])
def test_other_patterns_run(pattern, mirrored, tmp_path):
    out = tmp_path / "out"
    more = f"--pruning_pattern {pattern} --gradient_accumulation_steps 2 --pad_to_max_length"
    assert run_glue_no_trainer.main(arguments(mirrored, out, more)) == 0
    weights = {name: weight for name, weight in linear(out).items() if "encoder" in name}
    if pattern == "2:4":
        assert all(n_of_m(weight, 2, 4) for weight in weights.values())
    rows = sum(int((weight == 0).all(1).sum()) for weight in weights.values())
    assert (rows == sum(map(len, weights.values())) // 2) == (pattern == "1xchannel")


def test_the_mixture_runs(mirrored, tmp_path):
    out = tmp_path / "out"
    assert run_glue_no_trainer_mixed.main(arguments(mirrored, out)) == 0
    weights = linear(out)
    for name, weight in weights.items():
        if ".self." in name:
            assert in_blocks(weight, (4, 1))
            assert float((weight == 0).float().mean()) >= 0.5
        elif "encoder" in name:
            assert float((weight == 0).float().mean()) == pytest.approx(0.5, abs=2e-3)
            assert not in_blocks(weight, (4, 1))
    assert share(weights, "pooler", "classifier") == 0


def test_without_do_prune_the_model_is_fine_tuned_dense(mirrored, tmp_path):
    out = tmp_path / "out"
    said = "--max_length 24 --learning_rate 1e-3 --num_train_epochs 1 --seed 0"
    assert run_glue_no_trainer.main(arguments(mirrored, out, said=said)) == 0
    before, after = linear(mirrored / "dense"), linear(out)
    assert all((before[name] != after[name]).any() for name in before)  # the classifier's too
    assert share(after, "") == 0


def test_only_so_many_steps_and_the_target_is_reached_all_the_same(mirrored, tmp_path):
    out = tmp_path / "out"
    more = "--max_train_steps 7 --cooldown_epochs 0 --sparsity_warm_epochs 0"
    assert run_glue_no_trainer.main(arguments(mirrored, out, more)) == 0
    assert share(linear(out), "encoder") == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("said", "examples", "epochs", "steps", "times"),
    [
        (PUBLISHED, 3668, 15, 6885, (458, 6419, 149)),
        (f"{PUBLISHED} --pruning_frequency 50", 3668, 15, 6885, (458, 6419, 50)),
        (f"{PUBLISHED} --gradient_accumulation_steps 2", 3668, 15, 3450, (229, 3209, 74)),
        (f"{PUBLISHED} --sparsity_warm_epochs 0", 3668, 15, 100, (0, 100, 2)),
    ],
)
def test_masks_change_when_the_examples_changed_them(said, examples, epochs, steps, times):
    given = flags("x", ["--model_name_or_path", "x", "--task_name", "mrpc", *said.split()])
    found = _times(given, examples, epochs, steps)
    assert (found["start_step"], found["end_step"], found["pruning_frequency"]) == times


def test_the_teacher_replaces_the_labels():
    model, teacher = (tiny("bert", "BertForSequenceClassification", seed=seed) for seed in (0, 1))
    given = ["--model_name_or_path", "x", "--task_name", "sst2", "--distill_loss_weight", "5"]
    said = flags("x", given)
    batch = batch_of(model)
    found = _objective(said, lambda: teacher)(model, batch).detach()
    states = [net(**batch, output_hidden_states=True).hidden_states[-1] for net in (model, teacher)]
    far = (states[0] - states[1]).detach().square().mean()
    assert float(found) == pytest.approx(5 * float(far))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--target_sparsity 1.5", "target_sparsity"),
        ("--pruning_pattern 2:4 --target_sparsity .75", "beyond pattern 2:4"),
        ("--pruning_frequency 99", "masks every 99 steps"),
        ("--cooldown_epochs 9", "leave nothing of 3 epochs"),
        ("--pruning_type snap", "Did you mean 'snip'"),
        ("--model_name_or_path nowhere", "was not found"),
    ],
)
def test_bad_input_is_told(more, message, mirrored, tmp_path, capsys):
    assert run_glue_no_trainer.main(arguments(mirrored, tmp_path / "out", more)) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_refused_before_training(mirrored, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert run_glue_no_trainer.main(arguments(mirrored, tmp_path)) == 2
    assert "no checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("more", ["--pruning_pattern 2:4", "--pruning_type snip"])
def test_the_mixture_has_patterns_of_its_own(more, mirrored, tmp_path, capsys):
    said = arguments(mirrored, tmp_path / "out", more)
    assert run_glue_no_trainer_mixed.main(said) == 2
    assert "the mixture has its own" in capsys.readouterr().err


def test_unknown_flags_are_refused(capsys):
    with pytest.raises(SystemExit):
        run_glue_no_trainer.main(["--model_name_or_path", "x", "--task_name", "sst2", "--do_prun"])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run_glue_no_trainer", "run_glue_no_trainer_mixed"])
def test_the_commands_are_installed_and_their_help_is_light(name):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    module, _, attribute = scripts[name].partition(":")
    assert callable(getattr(import_module(module), attribute))
    call = (
        f"import sys; from {module} import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
    )
    report = "    print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", call + report], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--distill_loss_weight" in done.stdout


def test_what_the_page_shows_is_understood():
    page = ROOT / "docs" / "from" / "neural-compressor.md"
    text = "\n".join(block.code for block in blocks(page, "console"))
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("run_")]
    found = [flags(command, rest) for command, *rest in map(shlex.split, lines)]
    assert [one.do_prune for one in found] == [True, True, False]


def test_the_page_names_every_argument_and_every_flag():
    text = (ROOT / "docs" / "from" / "neural-compressor.md").read_text("utf-8")
    given = flags("x", ["--model_name_or_path", "x", "--task_name", "sst2"])
    assert not [name for name in vars(given) if f"`--{name}`" not in text]
    assert not [name for name in PrunerConfig.model_fields if name not in text]
    callbacks = [name for name in vars(Callbacks) if name.startswith("on_")]
    assert len(callbacks) == 11
    assert not [name for name in callbacks if f"`{name}(" not in text]
