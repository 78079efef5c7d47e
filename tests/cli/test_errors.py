import json
import os
import resource
import subprocess
import sys

import pytest

import prunus
from prunus.errors import PrunusError
from prunus.recipe._fresh import answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], 'Did you mean "run"'),
        (["run"], "requires an argument"),
        (["run", "kprune", "--otu", "x"], "Did you mean --out"),
        (["bench", "a", "b", "--batch", "0"], "greater than 0"),
        (["run", "quikstart"], "unknown recipe 'quikstart'. Did you mean 'quickstart'"),
        (["run", "kprune", "budget.densty=1"], "Did you mean 'density'"),
        (["run", "kprune", "score=fishr"], "unknown criterion 'fishr'. Did you mean 'fisher'"),
        (["check", "kprune", "drive=swep"], "unknown drive 'swep'. Did you mean 'sweep'"),
        (["train", "quickstart/tran"], "Did you mean 'quickstart/train'"),
        (["train", "quickstart/train", "training.epoch=1"], "Did you mean 'epochs'"),
        (["ls", "recipe"], "unknown list 'recipe'. Did you mean 'recipes'"),
        (["cp", "kprun", "mine"], "unknown recipe 'kprun'. Did you mean 'kprune'"),
        (["show", "no/such"], "model 'no/such' was not found"),
        (["eval", "no/such"], "say which task: --task glue:sst2, or --recipe FILE"),
        (["eval", "x", "--task", "a:b", "--recipe", "c"], "say which task"),
        (["eval", "x", "--task", "gleu:sst2"], "unknown task 'gleu'. Did you mean 'glue'"),
        (["eval", "x", "--task", "glue"], "task: subset: this key is required"),
        (["eval", "x", "--task", "glue:sst2", "--batch-size", "0"], "Must be > 0"),
        (["bench", "no/such", "no/such"], "model 'no/such' was not found"),
    ],
)
def test_bad_input_is_answered_on_standard_error(prunus_, arguments, message):
    code, out, err = prunus_(*arguments)
    assert code == 2
    assert out == ""
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_rules_that_match_nothing_are_told_by_check(place, prunus_):
    code, _, err = prunus_("check", place, "budget.rules=[{match: layr, floor: .5}]")
    assert code == 2
    assert err.startswith("prunus: budget rule 'layr' matches no site; sites are called like")


def test_a_length_without_positions_is_told(place, prunus_):
    code, _, err = prunus_("bench", place / "dense", place / "dense", "--length", 64)
    assert code == 2
    assert "length 64: the model has positions for 32 tokens" in err


def test_what_is_no_plan_is_told(place, prunus_):
    code, _, err = prunus_("show", place / "reviews.csv")
    assert code == 2
    assert "reviews.csv: not a readable plan" in err


def test_debug_shows_where(prunus_):
    with pytest.raises(PrunusError, match="unknown recipe"):
        prunus_("run", "quikstart", "--debug")


def test_a_disk_that_refuses_is_told(prunus_, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("prunus.cli._recipes.folder_beside", full)
    code, _, err = prunus_("cp", "kprune", tmp_path / "mine")
    assert code == 2
    assert "No space left on device" in err


@pytest.mark.parametrize("step", ["prune", "save_all", "time_all"])
def test_an_interruption_leaves_nothing_half_written(place, prunus_, monkeypatch, tmp_path, step):
    def stop(*_):
        raise KeyboardInterrupt

    def answered(folder, batch):
        return answer(prunus.load(folder), batch)

    monkeypatch.setattr(f"prunus.recipe.run.{step}", stop)
    monkeypatch.setattr("prunus.recipe._steps.fresh_answer", lambda f, batch, _: answered(f, batch))
    code, out, err = prunus_("run", place, "--out", tmp_path / "out")
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import json, sys
from prunus.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted({"torch", "transformers", "datasets", "sklearn"} & {*sys.modules})]))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["ls"], ["ls", "recipes"], ["--version"], ["cp", "no", "x"]],
    ids=" ".join,
)  # fmt: skip
def test_questions_are_answered_at_once_and_without_torch(arguments):
    """Seconds of computing, the best of three: what else runs here must not count."""
    untraced = {key: told for key, told in os.environ.items() if not key.startswith("COVERAGE")}
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=untraced,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    code, heavy = json.loads(done.stdout.splitlines()[-1])
    assert code == (2 if "cp" in arguments else 0)
    assert heavy == []
    assert min(spent) < 0.5
