import pytest


@pytest.fixture(scope="session")
def finished(place):
    """The folder of a finished run of that recipe."""
    from prunus.cli import main

    assert main(["run", str(place / "recipe.yaml"), "--out", str(place / "out"), "--quiet"]) == 0
    return place / "out"


@pytest.fixture
def prunus_(capsys):
    """Runs a command; gives its exit code, what it printed, and what it complained of."""
    from prunus.cli import main

    def prunus_(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return prunus_
