"""``prunus export`` and ``prunus eval`` on the command line."""

import json
import shutil

import pytest

import prunus
from prunus.export import load
from tests.cli.conftest import prunus_ as prunus_
from tests.task.pairs import translator, write
from tests.tiny import tiny


@pytest.fixture(scope="module")
def translation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translation")
    pairs = write(folder / "pairs.jsonl")
    splits = {"train": 4, "calibration": 2, "validation": 4}
    task = {"name": "translation", "data": pairs, "splits": splits, "max_new_tokens": 5}
    said = {"model": str(translator(folder / "dense")), "task": task, "budget": {"density": 0.5}}
    (folder / "recipe.yaml").write_text(json.dumps(said))
    return folder


def test_a_task(place, prunus_):
    code, out, err = prunus_(
        "export", place / "dense", "--to", "openvino", "--recipe", place / "recipe.yaml"
    )
    assert (code, err) == (0, "")
    folder = place / "dense-openvino"
    assert str(folder) in out.replace("\n", "")
    assert "accuracy" in out
    assert "+0.00 ± 0.00" in out
    facts = json.loads((folder / "export.json").read_text())
    assert facts["quality"]["torch"] == facts["quality"]["export"]
    assert facts["quality"]["n"] == 20
    assert {path.name for path in folder.iterdir()} >= {
        "config.json", "openvino_model.bin", "openvino_model.xml", "tokenizer.json"
    }  # fmt: skip
    dense = prunus_("eval", place / "dense", "--recipe", place / "recipe.yaml", "--quiet")
    assert prunus_("eval", folder, "--recipe", place / "recipe.yaml", "--quiet") == dense


def test_made_up_inputs(place, prunus_):
    out = place / "graphs"
    code, told, _ = prunus_("export", place / "dense", "--to", "pt2", "--out", out)
    assert code == 0
    assert "made-up inputs" in told
    assert load(out).facts.inputs == "made-up inputs"
    assert prunus_("export", place / "dense", "--to", "pt2", "--out", out, "--quiet") == (0, "", "")


def test_an_export_is_no_checkpoint(place, prunus_, tmp_path):
    out = tmp_path / "graphs"
    assert prunus_("export", place / "dense", "--to", "pt2", "--out", out, "--quiet")[0] == 0
    for what in (["show", out], ["save", out, tmp_path / "again"],
                 ["check", place / "recipe.yaml", f"model={out}"]):  # fmt: skip
        code, _, err = prunus_(*what)
        assert code == 2
        assert "is an export, which" in err.replace("\n", " ")


def test_a_translator(translation, prunus_):
    args = ("--recipe", translation / "recipe.yaml", "--quiet")
    out = translation / "graphs"
    code, _, err = prunus_("export", translation / "dense", "--to", "onnx", "--out", out, *args)
    assert (code, err) == (0, "")
    dense = prunus_("eval", translation / "dense", *args)
    assert "bleu" in dense[1]
    assert prunus_("eval", out, *args) == dense


def test_images(tmp_path, prunus_):
    prunus.save(tiny("vit"), tmp_path / "vit")
    code, _, err = prunus_("export", tmp_path / "vit", "--to", "pt2", "--quiet")
    assert (code, err) == (0, "")
    assert load(tmp_path / "vit-pt2").main_input_name == "pixel_values"


def test_a_runs_export_lies_in_the_run(place, tmp_path, prunus_):
    shutil.copytree(place / "dense", tmp_path / "run" / "model")
    (tmp_path / "run" / "report.json").write_text("{}")
    for number, what in enumerate(("run", "run/model")):
        args = ("--to", "pt2", "--quiet", *(["--dtype", "bfloat16"] if number else ()))
        assert prunus_("export", tmp_path / what, *args)[0] == 0
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert made == {"model", "report.json", "pt2", "pt2-bfloat16"}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--to", "tflite"), "unknown exporter 'tflite'"),
        (("--to", "onnx", "--dtype", "bfloat16"), "onnx does not run bfloat16"),
        (("--to", "pt2", "--split", "test"), "split: names rows of a task"),
        (("--to", "pt2", "--task", "a", "--recipe", "b"), "say which task"),
    ],
)
def test_bad_options(args, told, place, prunus_):
    code, _, err = prunus_("export", place / "dense", *args)
    assert code == 2
    assert told in err


def test_exports_are_not_exported(place, prunus_):
    prunus_("export", place / "dense", "--to", "pt2", "--out", place / "once", "--quiet")
    code, _, err = prunus_("export", place / "once", "--to", "pt2")
    assert code == 2
    assert "is an export already" in err
