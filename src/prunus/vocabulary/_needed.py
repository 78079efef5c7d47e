"""Which tokens a tokenizer needs beside those that were seen."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prunus.errors import unknown
from prunus.vocabulary._merges import Merges

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
State = Mapping[str, Any]
More = Callable[[State, set[str]], set[str]]


def needed(state: State, seen: Iterable[int]) -> set[int]:
    """The ids of all tokens that must stay so that the seen ones are found as before.

    Every model of the tokenizers library is a search over its vocabulary, which finds the same way
    when others are gone: WordPiece the longest piece first, Unigram (Kudo, arXiv 1804.10959) the
    likeliest split, byte-pair encoding (Sennrich et al., arXiv 1508.07909) the merges in their
    order, for which all that is made on the way to a token must stay.

    Args:
        state: what tokenizer.json holds.
        seen: ids.

    Raises:
        PrunusError: the tokenizer is of an unknown model.
    """
    model = state["model"]
    if model.get("type") not in MORE:
        raise unknown("tokenizer model", str(model.get("type")), MORE)
    names = names_of(state)
    wanted = {names[number] for number in seen if number in names}
    wanted |= {entry["content"] for entry in state["added_tokens"]}
    wanted |= {name for name in names.values() if BYTE.fullmatch(name)}
    wanted |= {name for n, name in names.items() if n == model.get("unk_id")}
    wanted |= {name for name in names.values() if name == model.get("unk_token")}
    wanted |= MORE[model["type"]](model, wanted)
    return {number for number, name in names.items() if name in wanted}


def names_of(state: State) -> dict[int, str]:
    """{id: token}, added tokens included."""
    held = state["model"]["vocab"]
    pieces = {n: t for t, n in held.items()} if isinstance(held, dict) else _numbered(held)
    return pieces | {entry["id"]: entry["content"] for entry in state["added_tokens"]}


def _numbered(pieces: Iterable[tuple[str, float]]) -> dict[int, str]:
    return dict(enumerate(piece for piece, _ in pieces))


def _word_pieces(model: State, wanted: set[str]) -> set[str]:
    prefix = model["continuing_subword_prefix"]
    return {name for name in model["vocab"] if len(name.removeprefix(prefix)) == 1}


def _pairs(model: State, wanted: set[str]) -> set[str]:
    merges = Merges(model)
    return merges.closure(wanted) | {name for name in model["vocab"] if merges.single(name)}


def _likely(model: State, wanted: set[str]) -> set[str]:
    """The least likely piece stays too: what no piece covers is scored by it."""
    least = min(model["vocab"], key=lambda piece: piece[1])
    return {least[0]} | {name for name, _ in model["vocab"] if len(name) == 1}


def _words(model: State, wanted: set[str]) -> set[str]:
    return {name for name in model["vocab"] if len(name) == 1}


MORE: dict[str, More] = {
    "WordPiece": _word_pieces,
    "BPE": _pairs,
    "Unigram": _likely,
    "WordLevel": _words,
}
