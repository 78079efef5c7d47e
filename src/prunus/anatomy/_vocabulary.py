"""The vocabulary as a site: a row of every embedding and output layer is a token."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from prunus.anatomy._tensors import Tensors
from prunus.site import Site, Slice

NAME = "tokens:vocab"
IDS = re.compile(r"\w*token_ids?|padding_idx|(begin_)?suppress_tokens|bad_words_ids")
"""What configurations and modules call tokens that they know by number."""
SIZE = re.compile(r"((en|de)coder_)?vocab_size")
"""What they call how many tokens there are."""


def vocabulary(model: nn.Module, tensors: Tensors) -> Iterator[Site]:
    """The site of a model's tokens; nothing where it reads no text.

    Its slices are what transformers calls the input and the output embeddings of the model and of
    the models inside of it, and the biases in the output layer or beside it.
    """
    names = {module: name for name, module in model.named_modules()}
    read = [m for m in _parts(model, "get_input_embeddings") if isinstance(m, nn.Embedding)]
    if not read:
        return
    rows = read[0].weight.shape[0]
    read += [m for m, name in names.items() if name.endswith("shared")]  # read by nobody, untied
    said = [names[m] for m in _parts(model, "get_output_embeddings") if m in names]
    tables = {names[m] for m in read} | {*said}
    beside = {*said, *(name.rpartition(".")[0] for name in said)}
    found: dict[Slice, None] = {}
    for name, owner in tensors.aliases.items():
        module, _, leaf = name.rpartition(".")
        table = leaf == "weight" and module in tables
        axis = 0 if table else len(tensors.shapes[owner]) - 1
        bias = leaf.endswith("bias") and module in beside
        if (table or bias) and tensors.shapes[owner][axis] == rows:
            found[Slice(owner, (axis,), (1,))] = None
    yield Site(NAME, "vocab", (rows,), tuple(found), needed=_needed(model, rows, read))


def tellers(model: nn.Module) -> list[Any]:
    """Whatever tells token ids by number, or how many there are: modules and configurations."""
    modules = list(model.modules())
    names = ("config", "generation_config")
    told: list[Any] = [getattr(m, name, None) for m in modules for name in names]
    told += [config.get_text_config() for config in told if hasattr(config, "get_text_config")]
    return list({id(one): one for one in (*modules, *told) if one is not None}.values())


def _parts(model: nn.Module, getter: str) -> list[nn.Module]:
    """What a getter of transformers gives for a model and the models inside of it."""
    found: dict[nn.Module, None] = {}
    for module in model.modules():
        try:
            part = getattr(module, getter)()
        except (AttributeError, NotImplementedError):  # no model, or one that has no such part
            continue
        if part is not None:
            found[part] = None
    return list(found)


def _needed(model: nn.Module, rows: int, read: Sequence[nn.Module]) -> tuple[int, ...]:
    """Tokens known by number, and all before the padding where positions are counted from it."""
    told = [v for one in tellers(model) for name, v in vars(one).items() if IDS.fullmatch(name)]
    found = {number for value in told for number in _numbers(value)}
    for module in model.modules():
        if type(module) is nn.Embedding and module not in read and module.padding_idx is not None:
            found.update(range(module.padding_idx + 1))
    return tuple(sorted(number for number in found if 0 <= number < rows))


def _numbers(value: Any) -> Iterator[int]:
    """The numbers in a number or in nested lists of them."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int):
        yield value
