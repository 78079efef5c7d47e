"""No file makes a command run code, and what only comes as code or pickles is refused."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import prunus
from prunus.checkpoint import load_adapters
from prunus.cli import main
from prunus.errors import PrunusError
from prunus.export import load as load_export
from tests.formats.make import HERE, bert
from tests.recipes.dense import wordpiece

AUDIT = Path(__file__).with_name("audit.py")


class Marks:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def hostile(tmp_path):
    """A portable checkpoint whose file of code leaves a mark, beside pickles that do so, too."""
    folder, mark = tmp_path / "hostile", tmp_path / "mark"
    plan = prunus.Plan({"encoder.layer.0:neurons": torch.arange(8) < 3})
    prunus.save(prunus.shrink(bert(), plan), folder, wordpiece(), portable=True)
    code = f"open({str(mark)!r}, 'w')\n"
    for path in [*folder.glob("*.py"), folder / "tokenization_x.py"]:
        path.write_text(code)
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Marks(mark)))
    return folder, mark


def test_commands_run_nothing_of_a_file(hostile, place, tmp_path):
    folder, mark = hostile
    plan = tmp_path / "plan.safetensors"
    prunus.Plan({"encoder.layer.0:neurons": torch.ones(8, dtype=torch.bool)}).save(plan)
    out = tmp_path / "out"
    (tmp_path / "library").mkdir()
    commands = [
        ["show", str(folder)],
        ["save", str(folder), str(tmp_path / "again")],
        ["show", str(plan)],
        ["run", str(place / "recipe.yaml"), "--out", str(out), "--quiet"],
        ["show", str(out)],
        ["eval", str(out), "--recipe", str(out / "recipe.yaml"), "--quiet"],
        ["library", "ls", "--folder", str(tmp_path / "library")],
    ]
    done = subprocess.run(
        [sys.executable, AUDIT, str(tmp_path), json.dumps(commands)], capture_output=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["codes"], told["seen"]) == ([0] * len(commands), []), told["said"]
    assert not mark.exists()


def test_the_audit_hears(tmp_path):
    """The same script tells of a plug-in that a recipe names, which is code by the user's wish."""
    (tmp_path / "own.py").write_text("import pickle\npickle.loads(b'cos\\nsystem\\n.')\n")
    recipe = "{model: m, task: {name: glue, subset: sst2}, score: 'own:X'}"
    (tmp_path / "recipe.yaml").write_text(recipe)
    commands = json.dumps([["check", str(tmp_path / "recipe.yaml")]])
    done = subprocess.run(
        [sys.executable, AUDIT, str(tmp_path), commands],
        capture_output=True, text=True, env={"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
    )  # fmt: skip
    seen = json.loads(done.stdout.splitlines()[-1])["seen"]
    assert f"exec {tmp_path / 'own.py'}" in seen
    assert "pickle.find_class os.system" in seen


def test_pickled_weights_are_refused(hostile):
    folder, mark = hostile
    (folder / "model.safetensors").unlink()
    (folder / "prunus.json").unlink()
    with pytest.raises(PrunusError, match=r"optimizer.pt alone, and pickles can run any code"):
        prunus.load(folder)
    assert not mark.exists()


def change(folder, **said):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | said))


def test_a_model_that_is_code_is_refused(hostile):
    folder, mark = hostile
    change(folder, model_type="mine", auto_map={"AutoConfig": "modeling_prunus.Config"})
    with pytest.raises(PrunusError, match="not readable"):
        prunus.load(folder)
    assert not mark.exists()


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_kernels_of_the_hub_are_refused(hostile, key):
    change(hostile[0], **{key: "somebody/kernel"})
    with pytest.raises(PrunusError, match="fetches code from the hub"):
        prunus.load(hostile[0])


@pytest.mark.parametrize("name", ["os:system", "Trainer", "utils", "pipeline", "AutoModel"])
def test_an_architecture_is_a_model(hostile, name):
    change(hostile[0], architectures=[name])
    with pytest.raises(PrunusError, match="transformers has no class"):
        prunus.load(hostile[0])


def test_adapters_import_nothing(tmp_path):
    import shutil

    folder = shutil.copytree(HERE / "adapters-2", tmp_path / "a")
    record = json.loads((folder / "adapters.json").read_text())
    for made in record["adapters"].values():
        made["name"] = "this:zen"
    (folder / "adapters.json").write_text(json.dumps(record))
    with pytest.raises(PrunusError, match="code is not imported because a file says so"):
        load_adapters(bert(), folder)
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "changes", [{"to": "this:zen"}, {"architecture": "a b"}, {"graphs": {"m": {"file": "../x"}}}]
)
def test_exports_name_nothing_elsewhere(tmp_path, changes):
    said = json.loads((HERE / "export-1.json").read_text())
    for graph in changes.get("graphs", {}).values():
        graph.update(inputs={}, outputs={})
    (tmp_path / "export.json").write_text(json.dumps(said | changes))
    with pytest.raises(PrunusError, match="should match pattern"):
        load_export(tmp_path)


def test_a_peft_folder_names_no_other(hostile):
    (hostile[0] / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')
    with pytest.raises(PrunusError, match="merge them first"):
        prunus.load(hostile[0])


def test_faults_are_one_line(monkeypatch, capsys):
    for error, message in (
        (KeyError("x"), "KeyError: 'x': this is a fault of prunus, please report it"),
        (MemoryError(), "there is not enough memory"),
        (RecursionError("deep"), "nested too deeply"),
    ):

        def fails(*_, error=error):
            raise error

        monkeypatch.setattr("prunus.cli._recipes.shipped", fails)
        assert main(["cp", "kprune", "x"]) == 2
        told = capsys.readouterr()
        assert (told.out, message in told.err, told.err.count("\n")) == ("", True, 1)
        with pytest.raises(type(error)):
            main(["cp", "kprune", "x", "--debug"])


def test_a_pipe_that_closes_is_quiet():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m prunus ls | head -1; exit 0"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("criteria\n", "")
