import pytest

import prunus
from tests.recipes.dense import recipe


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a tiny dense checkpoint, its data, and ``recipe.yaml``."""
    folder = tmp_path_factory.mktemp("place")
    recipe(folder, latency=None, evaluation={"baselines": False})
    return folder


@pytest.fixture
def in_process(monkeypatch):
    """Opens what was saved in this process, to save the seconds of another one."""
    from prunus.recipe import _fresh

    def answered(folder, batch, device):
        return _fresh.answer(prunus.load(folder), batch)

    monkeypatch.setattr("prunus.recipe._steps.fresh_answer", answered)
