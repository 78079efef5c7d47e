import pytest

from prunus.recipe import read
from prunus.recipe.run import run


@pytest.fixture(scope="session")
def finished(place):
    """The folder of a finished run of that recipe."""
    run(read(place / "recipe.yaml"), place / "out", quiet=True)
    return place / "out"


@pytest.fixture
def at(place, tmp_path, in_process):
    """Runs the session's recipe with changes; what was saved is opened in this process."""

    def at(*changes, out="out", resume=False):
        recipe = read(place / "recipe.yaml", changes)
        return run(recipe, tmp_path / out, quiet=True, resume=resume)

    return at
