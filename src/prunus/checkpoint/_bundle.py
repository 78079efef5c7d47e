"""Classes and functions of prunus as source text that stands on its own."""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from prunus.errors import PrunusError


class Bundle:
    """Definitions, each behind those that it names, and the imports that they need."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self._home: dict[str, str] = {}
        self._imports: dict[str, set[str]] = {}

    def add(self, thing: Any) -> str:
        """Take a class or function in, and whatever of prunus it names; the rest is imported.

        Returns:
            The name that it has in the bundle.

        Raises:
            PrunusError: another module's definition of that name is in already.
        """
        self._add(thing.__module__, thing.__name__)
        return thing.__name__

    @property
    def imports(self) -> str:
        """Import statements, the standard library's first, whole modules before names."""
        groups: tuple[list[str], list[str]] = ([], [])
        for start in sorted(self._imports, key=lambda start: (start.startswith("from "), start)):
            package = start.split()[1].partition(".")[0]
            names = sorted(self._imports[start], key=lambda name: (name[0].islower(), name.lower()))
            groups[package not in sys.stdlib_module_names].append(start + ", ".join(names))
        return "\n\n".join("\n".join(group) for group in groups if group)

    def _add(self, module: str, name: str) -> None:
        if module.partition(".")[0] != "prunus":
            self._imports.setdefault(f"from {module} import ", set()).add(name)
            return
        text, node = _definitions(module)[name]
        if isinstance(node, ast.ImportFrom):
            self._add(str(node.module), name)
            return
        if isinstance(node, ast.Import):
            self._imports.setdefault(text, set())
            return
        if self._home.get(name) == module:
            return
        if name in self._home:
            raise PrunusError(f"both {module} and {self._home[name]} define {name}: rename one")
        self._home[name] = module
        for used in ast.walk(node):
            if isinstance(used, ast.Name) and used.id in _definitions(module):
                self._add(module, used.id)
        self.parts[name] = text


@cache
def _definitions(module: str) -> dict[str, tuple[str, ast.stmt]]:
    """{name: (source, statement)} of everything that a module defines or imports by name."""
    source = inspect.getsource(import_module(module))
    lines, body = source.splitlines(), ast.parse(source).body
    found = {}
    for node, following in zip(body, [*body[1:], None], strict=True):
        last = following if following is not None and _is_text(following) else node
        first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", ()))])
        for name in _names(node):
            found[name] = "\n".join(lines[first - 1 : last.end_lineno]), node
    return found


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
