"""Engines: their settings, and tasks that are tried again where their process died."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from prunus.errors import PrunusError
from prunus.held import held
from prunus.registry import build
from prunus.study._tuning import Share
from prunus.study.engine import Place
from prunus.study.engine._task import receive


@dataclass(frozen=True)
class Dying:
    """Its process dies some times; then it is done."""

    name: str
    times: int

    def do(self, out, log, quiet):
        with (out / self.name).open("a") as file:
            file.write("x")
        if len((out / self.name).read_text()) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return "" if self.times else "it cannot be done"


@pytest.fixture
def ran(tmp_path):
    """Runs tasks on two processes; what happened to each, in order."""

    def ran(*tasks, **settings):
        engine = build("study/engine", {"name": "local", "workers": 2, **settings})
        place = Place(tmp_path, tmp_path / "log", Path.cwd())
        told = {task.name: [] for task in tasks}
        for event in engine.events(tasks, place, quiet=True):
            told[event.task.name].append((event.ended, event.why))
        return told

    return ran


KILLED = "its process was ended by SIGKILL; was there enough memory?"


def test_what_died_is_tried_again_and_what_failed_is_not(ran, tmp_path):
    told = ran(Dying("twice", 2), Dying("often", 9), Dying("never", 0), retries=2)
    lost = [(False, ""), (False, f"{KILLED}; tried again (1 of 2)")]
    lost += [(False, ""), (False, f"{KILLED}; tried again (2 of 2)"), (False, "")]
    assert told["twice"] == [*lost, (True, "")]
    assert told["often"] == [*lost, (True, KILLED)]
    assert told["never"] == [(False, ""), (True, "it cannot be done")]
    assert (tmp_path / "never").read_text() == "x"
    log = (tmp_path / "log").read_text()
    assert log.count("twice lost: ") == 2
    assert log.count("often lost: ") == 3


def test_nothing_is_tried_again_where_nobody_asks_for_it(ran):
    assert ran(Dying("once", 1), retries=0) == {"once": [(False, ""), (True, KILLED)]}


@dataclass(frozen=True)
class Waiting:
    """Somebody else works at it, as its lock says."""

    name: str

    def do(self, out, log, quiet):
        with held(out / self.name, "it"):
            return ""


def test_what_somebody_else_still_does_is_tried_again(ran, tmp_path):
    with held(tmp_path / "busy", "it"):
        begun, lost, again, ended = ran(Waiting("busy"), retries=1)["busy"]
    assert begun == again == (False, "")
    assert f"it (process {os.getpid()}" in lost[1]
    assert lost[1].endswith("; tried again (1 of 1)")
    assert ended[0]
    assert ended[1].startswith("it (process")
    assert ran(Waiting("busy"))["busy"] == [(False, ""), (True, "")]


def test_files_from_elsewhere_stay_in_their_folder(tmp_path):
    receive(tmp_path / "run", "model/config.json", [b"{", b"}"])
    assert (tmp_path / "run/model/config.json").read_text() == "{}"
    for name in ("../other", "/etc/other", "model/../../other"):
        with pytest.raises(PrunusError, match="lies outside of"):
            receive(tmp_path / "run", name, [b"x"])


def test_modules_from_elsewhere_come_once_and_whole(tmp_path):
    share = Share(1, None, ())
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/known.safetensors").write_bytes(b"old")
    share.take([("modules/known.safetensors", [b"x"]), ("modules/new", [b"a", b"b"])], tmp_path)
    found = {path.name: path.read_bytes() for path in (tmp_path / "modules").iterdir()}
    assert found == {"known.safetensors": b"old", "new": b"ab"}
    with pytest.raises(PrunusError, match="lies outside of"):
        share.take([("../elsewhere", [b"x"])], tmp_path)


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PrunusError, match=r'pip install "prunus\[ray\]"'):
        build("study/engine", "ray").pool(Place(tmp_path, tmp_path / "log", tmp_path))


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", "onnection refused"), ("ray://127.0.0.1:1", "onnection refused"),
     ("somewhere", "expected HOST:PORT")],
)  # fmt: skip
def test_an_address_where_nobody_answers_is_told_at_once(tmp_path, address, message):
    engine = build("study/engine", {"name": "ray", "address": address})
    with pytest.raises(PrunusError, match=f"no Ray cluster can be reached .*{message}"):
        engine.pool(Place(tmp_path, tmp_path / "log", tmp_path))


@pytest.mark.parametrize(
    ("engine", "settings", "message"),
    [
        ("rey", {}, "unknown engine 'rey'. Did you mean 'ray'"),
        ("local", {"address": "auto"}, "engine 'local': address: unknown key 'address'"),
        ("ray", {"resources": [1]}, "expected a mapping like"),
        ("ray", {"resources": {"GPU": 1.5}}, "GPU: 1.5: expected a whole number, or a part of 1"),
        ("ray", {"resources": {"CPU": "many"}}, "CPU: Input should be a valid number"),
        ("ray", {"resources": {"memory": "8 bits"}}, "is no size: write 50MB"),
        ("ray", {"workers": 0}, "greater than 0"),
        ("local", {"retries": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_settings_are_told(engine, settings, message):
    with pytest.raises(PrunusError) as told:
        build("study/engine", {"name": engine, **settings})
    assert message in str(told.value)
