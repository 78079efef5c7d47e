import pytest

from prunus.library import Library


@pytest.fixture
def told():
    """What a library tells."""
    return []


@pytest.fixture
def library(tmp_path, told):
    return Library(tmp_path / "library", told.append)
