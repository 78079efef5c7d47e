"""YAML as recipes are written in: safe, no key twice, and 2:4 is no number."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

INTEGER = "tag:yaml.org,2002:int"
DIGITS = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+|0[0-7_]+)")


def load(text: str) -> Any:
    """What a text says.

    Raises:
        yaml.YAMLError: it is no YAML, or a key stands twice in a mapping.

    >>> load("{grid: 2:4, samples: 512}")
    {'grid': '2:4', 'samples': 512}
    """
    return yaml.load(text, Loader)


def line(value: Any) -> str:
    """A value in one line, such that :func:`load` gives it again.

    >>> line({"grid": "2:4", "heads": [1, 2]})
    "{grid: '2:4', heads: [1, 2]}"
    """
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


class Loader(yaml.SafeLoader):
    """Safe YAML; a key that stands twice is an error, not a silent choice.

    YAML 1.1 reads 2:4 as minutes and seconds, 124, of which YAML 1.2 knows nothing.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (as the parent has it)
        first: [pair for pair in pairs if pair[0] != INTEGER]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node.

        Raises:
            yaml.YAMLError: a key stands twice.
        """
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(INTEGER, re.compile(rf"(?:{DIGITS.pattern})\Z"), list("-+0123456789"))
