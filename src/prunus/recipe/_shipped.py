"""Where recipes are: files of the user's, or those that travel with prunus, by name."""

from os.path import exists, expanduser, isfile
from pathlib import Path

from prunus.errors import PrunusError, unknown
from prunus.registry import HERE

MAIN = "recipe.yaml"


def root() -> Path:
    """The folder of the shipped recipes: in the package, or at the top of a checkout."""
    installed = HERE / "recipes"
    return installed if installed.is_dir() else HERE.parents[1] / "recipes"


def shipped() -> dict[str, Path]:
    """The shipped recipes by name: ``quickstart``, and ``quickstart/train`` beside it."""
    return {label(path): path for path in sorted(root().glob("*/*.yaml"))}


def label(path: Path) -> str:
    """What a recipe's file is called: by its folder, or ``folder/file`` beside the main one."""
    folder = path.absolute().parent.name
    return folder if path.name == MAIN else f"{folder}/{path.stem}"


def find(source: str | Path) -> Path:
    """The file of a recipe.

    Args:
        source: a file, a folder with ``recipe.yaml`` in it, or the name of a shipped recipe.

    Raises:
        PrunusError: there is none; the nearest names are told.
    """
    path = Path(expanduser(source))
    for file in (path, path / MAIN):
        if isfile(file):
            return file
    known = shipped()
    if str(source) in known:
        return known[str(source)]
    if exists(path):
        raise PrunusError(f"{path} is a folder without {MAIN}")
    raise unknown("recipe", str(source), known, f"Nor is there such a file in {Path.cwd()}.")
