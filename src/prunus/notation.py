"""YAML and JSON as prunus reads them: no code, no key twice, nothing that grows as it is read."""

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from prunus.errors import PrunusError
from prunus.files import read_bytes

INTEGER = "tag:yaml.org,2002:int"
DIGITS = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+|0[0-7_]+)")
YAML, JSON = 2**19, 2**25
"""Bytes of the largest texts that are read; recipes have about a thousand."""
NODES = 100_000
"""What a YAML text may come to, each alias counted as all that it stands for."""
DEEPEST = 64
"""Mappings and lists within each other."""


def load(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError: it is no YAML, a key stands twice in a mapping, or it is too large.

    >>> load("{grid: 2:4, samples: 512}")
    {'grid': '2:4', 'samples': 512}
    """
    return load_as(text, Loader)


def load_as(text: str, loader: type["Loader"]) -> Any:
    """As :func:`load`, with tags of its own."""
    if len(text) > YAML:
        raise yaml.YAMLError(f"{len(text):,} characters; at most {YAML:,} are read")
    try:
        return yaml.load(text, loader)
    except RecursionError:
        raise yaml.YAMLError(DEEP) from None
    except (ValueError, OverflowError, AttributeError, TypeError, LookupError) as error:
        raise yaml.YAMLError(f"a value is none of its kind: {error}") from None


def read(path: Path) -> Any:
    """What a YAML file says.

    Raises:
        yaml.YAMLError: as :func:`load`.
        UnicodeDecodeError: it is no UTF-8.
        PrunusError: it is no file, or too large.
    """
    return load(read_bytes(path, YAML).decode("utf-8"))


def line(value: Any) -> str:
    """A value in one line, such that :func:`load` gives it again.

    >>> line({"grid": "2:4", "heads": [1, 2]})
    "{grid: '2:4', heads: [1, 2]}"
    """
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def read_json(path: Path) -> Any:
    """What a JSON file says.

    Raises:
        PrunusError: it is no file, no JSON in UTF-8, too large or too deep.
    """
    data = read_bytes(path, JSON)
    try:
        return load_json(data)
    except ValueError as error:
        raise PrunusError(f"{path}: not readable JSON ({error})") from None


def load_json(data: bytes | str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, or no UTF-8; as :class:`PrunusError` where it is too deep.
    """
    try:
        found = json.loads(data)
    except RecursionError:
        raise PrunusError(DEEP) from None
    _require_shallow(found)
    return found


def _require_shallow(found: Any) -> None:
    level = [found]
    for _ in range(DEEPEST):
        level = [below for one in level for below in _below(one) if isinstance(below, dict | list)]
        if not level:
            return
    raise PrunusError(DEEP)


def _below(one: Any) -> Any:
    return one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


class Loader(yaml.SafeLoader):
    """Safe YAML; a key that stands twice is an error, not a silent choice.

    YAML 1.1 reads 2:4 as minutes and seconds, 124, of which YAML 1.2 knows nothing.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (as the parent has it)
        first: [pair for pair in pairs if pair[0] != INTEGER]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def get_single_node(self) -> Any:
        """The text as nodes, checked before anything is made of them.

        Raises:
            yaml.YAMLError: it is too large or too deep, or holds itself.
        """
        node = super().get_single_node()
        if node is not None:
            _require_small(node)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node.

        Raises:
            yaml.YAMLError: a key stands twice.
        """
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((key for key, count in keys.items() if count > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(INTEGER, re.compile(rf"(?:{DIGITS.pattern})\Z"), list("-+0123456789"))

DEEP = f"more than {DEEPEST} mappings and lists within each other"


def _require_small(root: Any) -> None:
    """Check how much a text comes to: aliases of aliases grow by a power with each."""
    known = dict[int, tuple[int, int]]()

    def measure(node: Any, depth: int) -> tuple[int, int]:
        """(Values, levels) of a node."""
        if depth > DEEPEST:  # an alias that lies in what it stands for is deeper than anything
            raise yaml.YAMLError(DEEP)
        if id(node) not in known:
            below = [measure(one, depth + 1) for one in _nodes(node)]
            levels = 1 + max((own for _, own in below), default=0)
            known[id(node)] = 1 + sum(own for own, _ in below), levels
        values, levels = known[id(node)]
        if values > NODES:
            raise yaml.YAMLError(f"more than {NODES:,} values, with all that aliases stand for")
        if levels > DEEPEST:
            raise yaml.YAMLError(DEEP)
        return values, levels

    measure(root, 0)


def _nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode):
        yield from (one for pair in node.value for one in pair)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
