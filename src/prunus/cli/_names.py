"""What there is to choose from, with one line on each, read off the source without importing it."""

import ast
from pathlib import Path

from prunus.recipe import shipped
from prunus.registry import HERE, names

SECTIONS = {
    "criteria": "score",
    "selectors": "select",
    "drives": "drive",
    "recover": "recover",
    "adapters": "adapt",
    "losses": "loss",
    "tasks": "task",
    "networks": "networks",
    "families": "anatomy",
    "recipes": "",
}


def described(section: str) -> dict[str, str]:
    """{name: what it is} of a section."""
    if section == "recipes":
        return {name: _comment(path) for name, path in shipped().items()}
    folder = SECTIONS[section]
    return {name: _docstring(HERE / folder / f"{name}.py") for name in names(folder)}


def _docstring(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def _comment(path: Path) -> str:
    """The comment that a recipe begins with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()
