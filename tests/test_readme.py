import re
from pathlib import Path

import pytest

import prunus
from tests.recipes.dense import dense

README = Path(__file__).parent.parent / "README.md"


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    dense(tmp_path / "runs" / "quickstart-dense")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert names["small"].num_parameters() < names["model"].num_parameters()
    assert names["again"].num_parameters() < names["model"].num_parameters()
    assert isinstance(names["plan"], prunus.Plan)
    names["small"].save_pretrained("by_hand")
    assert prunus.load("by_hand").num_parameters() == names["small"].num_parameters()


@pytest.mark.parametrize("command", ["quickstart", "test"])
def test_the_readmes_two_commands_are_targets(command):
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    assert f"make {command}" in README.read_text(encoding="utf-8")
    assert re.search(rf"^{command}:", makefile, re.MULTILINE)
