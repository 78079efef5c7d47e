"""The rules of the house, held by reading the source."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "prunus"
FILES = sorted(SOURCE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes, and the public methods of those classes."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _unsafe(node: ast.AST) -> bool:
    """Whether a node runs or unpickles what a file says."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in UNSAFE_MODULES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        module = (node.module or "").split(".")[0]
        return module in UNSAFE_MODULES or (module == "torch" and "load" in names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in {"eval", "exec"}
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_function_says_what_it_returns(path):
    bare = [
        f"{node.name}:{node.lineno}" for node in _functions(_tree(path)) if node.returns is None
    ]
    assert not bare


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_everything_public_has_a_docstring(path):
    tree = _tree(path)
    bare = [f"{node.name}:{node.lineno}" for node in _public(tree.body) if not _documented(node)]
    assert not bare
    assert ast.get_docstring(tree) or not tree.body


def _documented(node: Function | ast.ClassDef) -> bool:
    overload = any(ast.unparse(mark).endswith("overload") for mark in node.decorator_list)
    return overload or ast.get_docstring(node) is not None


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_file_that_is_read_can_run_code(path):
    assert not [node.lineno for node in ast.walk(_tree(path)) if _unsafe(node)]


@pytest.mark.parametrize(
    ("source", "unsafe"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("import torch; torch.load('x')", True),
        ("from torch import load", True),
        ("eval('1')", True),
        ("exec('1')", True),
        ("model.eval()", False),
        ("from safetensors.torch import load", False),
        ("json.load(file)", False),
    ],
)
def test_what_counts_as_running_code(source, unsafe):
    assert any(_unsafe(node) for node in ast.walk(ast.parse(source))) == unsafe


def _heavy_after(statement: str) -> list[str]:
    """Which slow packages a fresh Python has loaded after a statement."""
    report = "import sys; print(*sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{report}"], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


def test_importing_prunus_is_light():
    assert _heavy_after("import prunus") == []


@pytest.mark.parametrize("arguments", [["--help"], ["ls"]], ids=" ".join)
def test_asking_the_command_line_is_light(arguments):
    call = (
        "import sys; from prunus.cli import main\n"
        f"sys.argv = ['prunus', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert _heavy_after(call) == []


def test_imports_run_one_way():
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert linter, "import-linter is not installed beside this Python: make install"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
