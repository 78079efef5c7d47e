import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prunus.doctor import Installation
from prunus.doctor._ask import Answers

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def seen(monkeypatch):
    """An installation in which the probe saw what is said here."""

    def seen(facts=None, errors=None, ended="", **more):
        answers = Answers(errors or {}, facts or {}, ended)
        monkeypatch.setattr("prunus.doctor._installation.ask", lambda _: answers)
        return Installation(**{"environment": {}, **more})

    return seen


@pytest.fixture(scope="session")
def doctor():
    """Runs the command in a fresh Python, with other packages in front; its code, faults, notes."""

    def doctor(front, *needed, **variables):
        path = os.pathsep.join([str(front), str(SOURCE)])
        command = "from prunus.cli import main; raise SystemExit(main())"
        done = subprocess.run(
            [sys.executable, "-c", command, "doctor", "--json", *needed],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": path, **variables},
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        told = json.loads(done.stdout)
        assert told["healthy"] == (done.returncode == 0)
        checks = told["checks"]
        return (
            done.returncode,
            {name: one for name in checks for one in checks[name] if one["fault"]},
            {name: one for name in checks for one in checks[name] if not one["fault"]},
        )

    return doctor


@pytest.fixture
def package(tmp_path):
    """Plants packages in a folder that is put in front of the path; gives that folder."""

    def package(name, version, code="", *needs):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
        about = tmp_path / f"{name}-{version}.dist-info"
        about.mkdir()
        needed = "".join(f"Requires-Dist: {need}\n" for need in needs)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}"
        )
        return tmp_path

    return package
