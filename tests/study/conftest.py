import pytest

from tests.recipes.dense import recipe


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a tiny dense checkpoint, its data, and ``recipe.yaml``."""
    folder = tmp_path_factory.mktemp("place")
    recipe(folder, latency=None, evaluation={"baselines": False})
    return folder
