"""A configuration of neural-compressor from a file or a line, none of which is ever run."""

import ast
import re
from collections.abc import Mapping
from os.path import isfile
from pathlib import Path
from typing import Any

import yaml

from prunus.compat._config import PrunerConfig, resolve
from prunus.errors import PrunusError
from prunus.notation import Loader, load_as

CALL = "WeightPruningConfig"
FILE = re.compile(r"\S+\.(py|ya?ml|json)")
FORMS = f"YAML, JSON, or Python with {CALL}(target_sparsity=0.9, ...)"


def pruners_in(source: str) -> tuple[PrunerConfig, ...]:
    """The pruners of a configuration.

    Args:
        source: a YAML or JSON file, a Python file that calls ``WeightPruningConfig`` with literals,
            or the text of either: ``target_sparsity=0.5, pattern="2:4"`` will do.

    Raises:
        PrunusError: it is none of these, or what it says will not do.

    >>> [pruner.pattern for pruner in pruners_in("pattern='2:4', target_sparsity=0.5")]
    ['2:4']
    """
    ending = Path(source).suffix if isfile(source) else ""
    text = Path(source).read_text(encoding="utf-8") if ending else source
    if not ending and FILE.fullmatch(source):
        raise PrunusError(f"{source}: there is no such file")
    python = ending == ".py" or (not ending and _in_python(source))
    found = dict(_from_python(text) if python else _from_yaml(text))
    pruners = found.pop("pruning_configs", None) or found.pop("pruners", None) or [{}]
    if not isinstance(pruners, list | tuple):
        raise PrunusError(f"pruning_configs is a list of mappings, not {pruners!r}")
    return resolve(pruners, found)


def _in_python(line: str) -> bool:
    """Whether a line is a call, or what stands between a call's brackets."""
    if CALL in line:
        return True
    try:
        call = ast.parse(f"{CALL}({line})", mode="eval").body
    except SyntaxError:
        return False
    return isinstance(call, ast.Call) and bool(call.keywords)


def _from_python(text: str) -> dict[str, Any]:
    """The arguments of the first call; names stand for the literals that they are given."""
    bare = CALL not in text and "\n" not in text.strip()
    try:
        tree = ast.parse(f"{CALL}({text})" if bare else text)
    except SyntaxError as error:
        raise PrunusError(f"not Python: {error}; a configuration is {FORMS}") from None
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    call = next((node for node in calls if ast.unparse(node.func).endswith(CALL)), None)
    if call is None:
        raise PrunusError(f"no call of {CALL} was found; a configuration is {FORMS}")
    given = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    order = ("pruning_configs", *PrunerConfig.model_fields)
    values = dict(zip(order, call.args, strict=False))
    values |= {str(word.arg): word.value for word in call.keywords}
    return {key: _literal(key, node, given) for key, node in values.items()}


def _literal(key: str, node: ast.expr, given: Mapping[str, ast.expr]) -> Any:
    found = given.get(node.id, node) if isinstance(node, ast.Name) else node
    try:
        return ast.literal_eval(found)
    except ValueError:
        raise PrunusError(
            f"{key}={ast.unparse(node)}: code is read, not run: write its value in its place"
        ) from None


class _Loader(Loader):
    """Safe YAML in which ``!Pruner`` and such mark mappings."""


_Loader.add_multi_constructor(
    "!", lambda loader, _, node: loader.construct_mapping(node, deep=True)
)


def _from_yaml(text: str) -> dict[str, Any]:
    """The mapping of pruning; files of whole experiments hold it under pruning.approach."""
    try:
        found = load_as(text, _Loader)
    except yaml.YAMLError as error:
        raise PrunusError(f"not YAML: {error}; a configuration is {FORMS}") from None
    if isinstance(found, Mapping) and "pruning" in found:
        found = found["pruning"]
        approach = found.get("approach") if isinstance(found, Mapping) else None
        found = next(iter(approach.values()), None) if isinstance(approach, Mapping) else approach
    if not isinstance(found, Mapping):
        raise PrunusError(f"{text[:80]!r} holds no keys; a configuration is {FORMS}")
    return {str(key): value for key, value in found.items()}
