"""What every test needs: no network, one thread, the same examples each time."""

import atexit
import gc
import os
import tempfile

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

os.environ["HF_HUB_OFFLINE"] = "1"
MODULES = tempfile.TemporaryDirectory(prefix="prunus-modules-")
os.environ["HF_MODULES_CACHE"] = MODULES.name  # where transformers copies portable files to
atexit.register(MODULES.cleanup)
torch.set_num_threads(1)
settings.register_profile(
    "laws",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=8,
    print_blob=False,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("laws")


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a tiny dense checkpoint, its data, and ``recipe.yaml``."""
    from tests.recipes.dense import recipe

    folder = tmp_path_factory.mktemp("place")
    recipe(folder)
    return folder


@pytest.fixture
def in_process(monkeypatch):
    """Opens what was saved in this process, to save the seconds of another one."""
    import prunus
    from prunus.recipe import _fresh

    def answered(folder, batch, device):
        return _fresh.answer(prunus.load(folder), batch)

    monkeypatch.setattr("prunus.recipe._steps.fresh_answer", answered)


@pytest.fixture
def quick_gc():
    """Trainings collect garbage at their end, and need not look at what was there before."""
    gc.freeze()
    yield
    gc.unfreeze()
