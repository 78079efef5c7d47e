"""Damaged checkpoints are refused, and whatever stops a save leaves the old one as it was."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

import prunus.checkpoint._store as store
from prunus import files
from prunus.checkpoint import adopt, load, save
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from tests.tiny import batch_of, outputs, tiny


def pruned(width=5, seed=0):
    """A tiny pruned BERT of uneven widths."""
    model = tiny("bert", seed=seed)
    return adopt(shrink(model, Plan({"encoder.layer.0:neurons": torch.arange(24) < width})))


@pytest.fixture
def folder(tmp_path):
    """A saved pruned model."""
    save(pruned(), tmp_path / "model")
    return tmp_path / "model"


OPENERS = {"load": load, "auto": AutoModelForSequenceClassification.from_pretrained}


@pytest.fixture(params=OPENERS)
def opening(request):
    return OPENERS[request.param]


def rewrite(folder, change):
    """Change a checkpoint's tensors."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_truncated_file(folder, opening):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(PrunusError, match=r"model.safetensors is not the file that was saved"):
            opening(folder)


def test_a_changed_file(folder, opening):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(PrunusError, match=r"truncated, damaged or changed since.*prunus\.json"):
        opening(folder)


def test_a_missing_file(folder, opening):
    (folder / "model.safetensors").unlink()
    with pytest.raises(PrunusError, match=r"model\.safetensors is missing: .* incomplete"):
        opening(folder)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_missing_tensor(folder, opening, sealed):
    rewrite(folder, lambda tensors: tensors.pop("bert.encoder.layer.0.output.dense.bias"))
    if not sealed:
        (folder / "prunus.json").unlink()
    expected = "not the file" if sealed else r"1 tensors are missing \(bert\.encoder\.layer\.0"
    with pytest.raises(PrunusError, match=expected):
        opening(folder)


def test_a_tensor_of_another_shape(folder, opening):
    (folder / "prunus.json").unlink()
    rewrite(folder, lambda tensors: tensors.update({"classifier.weight": torch.zeros(3, 31)}))
    with pytest.raises((PrunusError, RuntimeError), match="mismatch"):
        opening(folder)


def test_a_tensor_too_many(folder):
    (folder / "prunus.json").unlink()
    rewrite(folder, lambda tensors: tensors.update({"extra.weight": torch.zeros(2)}))
    with pytest.raises(PrunusError, match=r"holds tensors that .* lacks: extra\.weight"):
        load(folder)


def test_a_truncated_file_without_a_seal(folder):
    (folder / "prunus.json").unlink()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PrunusError, match="not readable"):
        load(folder)


def test_a_broken_seal(folder, opening):
    for text in ("", "[]", "{}", '{"sha256": 3}'):
        (folder / "prunus.json").write_text(text)
        with pytest.raises(PrunusError, match=r"prunus\.json: not readable"):
            opening(folder)


def test_a_broken_configuration(folder):
    (folder / "config.json").write_text('{"model_type": ')
    with pytest.raises(PrunusError, match="not readable"):
        load(folder)


def test_no_checkpoint(tmp_path):
    with pytest.raises(PrunusError, match=r"is not a checkpoint: it has no config\.json"):
        load(tmp_path)
    with pytest.raises(PrunusError, match="is not a checkpoint"):
        load(tmp_path / "nothing")


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["PrunusBertForNothing"]}, "no class 'PrunusBertForNothing'"),
        ({"prunus": {"format": 3, "kept": {}}}, "format 3 and was written by a newer prunus"),
        ({"prunus": {"format": 1, "kept": {"x:heads": 1}}}, "names site 'x:heads'"),
        ({"prunus": {"format": 1, "kept": {}}}, "mismatch"),
    ],
)
def test_a_configuration_that_fits_no_model(folder, changes, message):
    change_config(folder, **changes)
    with pytest.raises((PrunusError, RuntimeError), match=message):
        load(folder)


def test_another_head_is_refused(folder):
    (folder / "prunus.json").unlink()
    model = tiny("bert", "BertModel")
    small = adopt(shrink(model, Plan({"encoder.layer.0:neurons": torch.arange(24) < 5})))
    save(small, folder)
    with pytest.raises(PrunusError, match="opened with a head it was not saved with"):
        AutoModelForTokenClassification.from_pretrained(folder)


def listing(folder):
    """Every file and folder below, with what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Trap:
    """Raises at the n-th call of any of the functions that it stands in for."""

    def __init__(self, error, countdown):
        self.error, self.countdown, self.sprung = error, countdown, False

    def around(self, function):
        def call(*args, **kwargs):
            self.countdown -= 1
            if self.countdown == 0:
                self.sprung = True
                raise self.error
            return function(*args, **kwargs)

        return call


STEPS = (
    (os, "fsync"), (files, "sync"), (Path, "rename"), (Path, "replace"), (Path, "mkdir"),
    (Path, "open"), (json, "dumps"), (store, "seal"),
)  # fmt: skip
ERRORS = {
    "full disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "Ctrl-C": KeyboardInterrupt,
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("there", [True, False], ids=["replacing", "new"])
def test_a_save_that_is_stopped_anywhere(error, there, tmp_path, monkeypatch):
    target, batch = tmp_path / "model", batch_of(pruned())
    old, new = pruned(5), pruned(6, seed=1)
    answers = {"old": outputs(old, batch), "new": outputs(new, batch)}
    stopped = 0
    for countdown in range(1, 200):
        if there:
            save(old, target)
        before, trap = listing(tmp_path), Trap(ERRORS[error](), countdown)
        with monkeypatch.context() as patch:
            for owner, name in STEPS:
                patch.setattr(owner, name, trap.around(getattr(owner, name)))
            with suppress(OSError, KeyboardInterrupt):
                save(new, target)
        if not trap.sprung:
            break
        stopped += 1
        after = listing(tmp_path)
        assert {path for path in after if path.split("/")[0] != "model"} == set()
        if after == before:
            continue
        assert torch.equal(outputs(load(target), batch), answers["new"])
        for path in sorted(target.iterdir()):
            path.unlink()
        target.rmdir()
    assert stopped > 5
    assert torch.equal(outputs(load(target), batch), answers["new"])


@pytest.mark.parametrize("error", ERRORS)
def test_a_save_that_is_stopped_between_its_files(error, tmp_path, monkeypatch):
    target, new = tmp_path / "model", pruned(6, seed=1)
    save(pruned(5), target)
    before = listing(tmp_path)

    def half(folder, *_, **__):
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise ERRORS[error]()

    monkeypatch.setattr(new, "save_pretrained", half)
    with pytest.raises((OSError, KeyboardInterrupt)):
        save(new, target)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", ["plan.json", "plan.safetensors"])
def test_a_plan_that_is_stopped_halfway(error, name, tmp_path, monkeypatch):
    Plan({"a:heads": torch.ones(3)}).save(tmp_path / name)
    before = listing(tmp_path)
    new = Plan({"a:heads": torch.zeros(3)})
    for owner, step in ((os, "fsync"), (Path, "open"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, step, Trap(ERRORS[error](), 1).around(getattr(owner, step)))
            with pytest.raises((OSError, KeyboardInterrupt)):
                new.save(tmp_path / name)
        assert listing(tmp_path) == before


def test_saving_replaces_the_old_checkpoint_as_a_whole(folder):
    (folder / "model-00002.safetensors").write_bytes(b"left over")
    small = pruned(6, seed=1)
    save(small, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "model.safetensors", "prunus.json"
    ]  # fmt: skip
    batch = batch_of(small)
    assert torch.equal(outputs(load(folder), batch), outputs(small, batch))


def test_a_checkpoint_may_lie_anywhere(tmp_path, monkeypatch):
    small = pruned()
    save(small, tmp_path / "a b/ü/model")
    monkeypatch.chdir(tmp_path)
    save(small, "here")
    assert torch.equal(outputs(load("here"), batch_of(small)), outputs(small, batch_of(small)))
    assert (tmp_path / "a b/ü/model/config.json").exists()


def test_permissions_are_the_usual_ones(folder):
    usual = folder.parent / "usual"
    usual.mkdir()
    (usual / "file").touch()
    assert folder.stat().st_mode == usual.stat().st_mode
    modes = {path.stat().st_mode for path in folder.glob("*.json")}
    assert modes == {(usual / "file").stat().st_mode}


def test_what_is_no_checkpoint_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(PrunusError, match="is no checkpoint; name another folder"):
            save(pruned(), place)
    assert (tmp_path / "notes.txt").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1
