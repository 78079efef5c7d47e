"""What the documentation shows works: Python, recipes, command lines, examples in docstrings."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest
import yaml

import prunus
from prunus.cli import app, main
from prunus.recipe import read, shipped
from tests.docs.pages import PAGES, ROOT, blocks, commands, inline, name

README = ROOT / "README.md"
START = ROOT / "docs" / "index.md"
SOURCE = ROOT / "src"
RECIPES = {
    "kprune": "kprune", "channel-spa": "splora", "block-spa": "splopa/squad",
    "composability": "composed/weights",
}  # fmt: skip
"""The recipe that stands in a predecessor's place, by its page."""
CHAPTERS = {"## Kwon": "kwon", "## Vision": "splora/vit", "## Sentence": "splopa"}
"""Chapters about another one."""
PREDECESSORS = [page for page in PAGES if page.parent.name == "from" and page.stem in RECIPES]
EXAMPLES = [path for path in sorted(SOURCE.rglob("*.py")) if ">>>" in path.read_text("utf-8")]


def having(language):
    return [page for page in PAGES if blocks(page, language)]


def _run(page, names):
    for block in blocks(page, "python"):
        exec(compile(block.code, str(page), "exec"), names)


@pytest.mark.parametrize("page", [page for page in having("python") if page != README], ids=name)
def test_the_python_of_a_page_runs(page, workshop):
    names = {"__name__": "examples"}
    for one in dict.fromkeys((START, page)):
        _run(one, names)


def test_the_python_of_the_readme_runs(workshop):
    names: dict = {}
    _run(README, names)
    assert names["small"].num_parameters() < names["model"].num_parameters()
    assert names["again"].num_parameters() < names["model"].num_parameters()
    assert isinstance(names["plan"], prunus.Plan)
    names["small"].save_pretrained("by_hand")
    assert prunus.load("by_hand").num_parameters() == names["small"].num_parameters()


def _parsed(arguments):
    return app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=name)
def test_the_command_lines_of_a_page_are_right(page, workshop, capsys):
    for arguments in commands(page):
        _parsed(arguments)
        if arguments[0] in {"run", "check"} and _there(arguments[1]):
            _checked(arguments[1:], page)
        elif arguments[:2] == ["library", "scheme"]:
            assert main([*arguments, "--quiet"]) == 0, arguments
        elif arguments[0] in {"cp", "ls"} and not _copied(arguments):
            assert main(arguments) == 0, arguments


def _there(recipe):
    return recipe in shipped() or Path(recipe).exists()


def _copied(arguments):
    return arguments[0] == "cp" and Path(arguments[2]).exists()


def _checked(arguments, page):
    """A run would cut what its check shows, but for options that they do not share."""
    settings = [
        one for one in arguments if one not in {"--out", "--baselines", "--quiet", "--resume"}
    ]
    if "--out" in arguments:
        settings.remove(arguments[arguments.index("--out") + 1])
    settings = ["model=runs/sst2-dense" if one == "model=PATH" else one for one in settings]
    if "quickstart" not in settings:
        assert main(["check", *settings]) == 0, (name(page), settings)


@pytest.mark.parametrize("page", having("yaml"), ids=name)
def test_the_recipes_of_a_page_are_read(page, tmp_path):
    whole = {"model": "somewhere", "task": {"name": "glue", "subset": "sst2"}}
    for block in blocks(page, "yaml"):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(whole | yaml.safe_load(block.code)))
        read(path)


@pytest.mark.parametrize("page", PREDECESSORS, ids=name)
def test_the_settings_beside_a_predecessors_are_read(page):
    settings = [code for code in inline(page) if re.fullmatch(r"[a-z][a-z_.]*=[^ =].*", code)]
    assert len(settings) > 15
    for setting in settings:
        read(RECIPES[page.stem], [setting])


def _rows(page):
    """(recipe, key, default) of table rows that end in ``| `key=value` ... | `default` |``."""
    recipe = RECIPES[page.stem]
    for line in page.read_text("utf-8").splitlines():
        recipe = next((own for head, own in CHAPTERS.items() if line.startswith(head)), recipe)
        found = re.search(r"\| `([a-z_.]+)=[^`]+`[^|]*\| `([^`]+)` \|$", line)
        if found:
            yield recipe, *found.groups()


@pytest.mark.parametrize("page", PREDECESSORS, ids=name)
def test_the_defaults_told_are_those_of_the_recipe(page):
    rows = list(_rows(page))
    assert len(rows) > 12
    for recipe, key, default in rows:
        found = read(recipe).model_dump()
        for step in key.split("."):
            found = found[step]
        assert yaml.safe_load(str(found)) == yaml.safe_load(default), (recipe, key)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_in_docstrings_run(path):
    module = importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted
    assert not done.failed


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    there = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    assert set(listed) == there


@pytest.mark.parametrize("command", ["quickstart", "test", "docs"])
def test_the_commands_of_the_readme_are_targets(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_blocks_are_where_their_page_has_them():
    (first, *_) = blocks(START, "python")
    number = ast.parse(first.code).body[0].lineno
    assert START.read_text("utf-8").splitlines()[number - 1].startswith("from transformers")
