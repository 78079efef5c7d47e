"""The same tokenizer with fewer tokens: its tokenizer.json written anew, and opened again."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prunus.errors import PrunusError
from prunus.vocabulary._merges import Merges
from prunus.vocabulary._needed import State, names_of

FILE = "tokenizer.json"


def require_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that a tokenizer can be written anew.

    Raises:
        PrunusError: it is a slow one.
    """
    if not tokenizer.is_fast:
        raise PrunusError(
            f"{type(tokenizer).__name__} is a slow tokenizer, which has no {FILE} to be written"
            " anew: leave the vocabulary whole, or save the checkpoint with a fast tokenizer"
        )


def state_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What the tokenizer.json of a fast tokenizer holds."""
    fast: Any = tokenizer
    return json.loads(fast.backend_tokenizer.to_str())


def trimmed(tokenizer: PreTrainedTokenizerBase, stays: Tensor) -> PreTrainedTokenizerBase:
    """A tokenizer without some tokens; those that stay have the ids of their rows.

    Args:
        tokenizer: a fast one; it is left as it is.
        stays: [tokens] bool, as :func:`prunus.vocabulary.plan_of` makes it.

    Raises:
        PrunusError: the tokenizer is a slow one, or does not open again as it was written.
    """
    require_fast(tokenizer)
    state = state_of(tokenizer)
    places = dict(zip(stays.nonzero()[:, 0].tolist(), range(int(stays.sum())), strict=True))
    expected = {name: places[old] for old, name in names_of(state).items() if old in places}
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(place)
        for name in {*tokenizer.vocab_files_names.values(), "added_tokens.json"}:
            (Path(place) / name).unlink(missing_ok=True)
        fresh = json.dumps(cut(state, places), ensure_ascii=False)
        (Path(place) / FILE).write_text(fresh, encoding="utf-8")
        small = type(tokenizer).from_pretrained(place, local_files_only=True)
    if small.get_vocab() != expected:
        raise PrunusError(
            f"{type(tokenizer).__name__} numbers its tokens otherwise than its {FILE} does, so that"
            " they cannot be renumbered; leave the vocabulary whole"
        )
    small.name_or_path = tokenizer.name_or_path
    return small


def cut(state: State, places: Mapping[int, int]) -> dict[str, Any]:
    """What tokenizer.json holds when only some tokens stay.

    Args:
        state: what it holds.
        places: {id of a token that stays: its new id}; every added token stays.
    """
    padding = state["padding"]
    added = [{**entry, "id": places[entry["id"]]} for entry in state["added_tokens"]]
    return {
        **state,
        "model": _model(state["model"], places),
        "added_tokens": sorted(added, key=lambda entry: entry["id"]),
        "padding": padding and {**padding, "pad_id": places[padding["pad_id"]]},
        "post_processor": _processor(state["post_processor"], places),
    }


def _model(model: State, places: Mapping[int, int]) -> dict[str, Any]:
    held = model["vocab"]
    if not isinstance(held, dict):
        left = [piece for old, piece in enumerate(held) if old in places]
        return {**model, "vocab": left, "unk_id": places.get(model["unk_id"])}
    left = {name: places[old] for name, old in held.items() if old in places}
    if "merges" not in model:
        return {**model, "vocab": left}
    merges = Merges(model)
    pairs = [[*pair] for pair in merges.ranks if left.keys() >= {*pair, merges.merged(pair)}]
    return {**model, "vocab": left, "merges": pairs}


def _processor(processor: State | None, places: Mapping[int, int]) -> dict[str, Any] | None:
    """What puts special tokens around texts, with their new ids."""
    if processor is None:
        return None
    fresh = dict(processor)
    if "processors" in fresh:
        fresh["processors"] = [_processor(one, places) for one in fresh["processors"]]
    if "special_tokens" in fresh:
        fresh["special_tokens"] = {
            name: {**entry, "ids": [places[old] for old in entry["ids"]]}
            for name, entry in fresh["special_tokens"].items()
        }
    for key in {"cls", "sep"}.intersection(fresh):
        name, old = fresh[key]
        fresh[key] = [name, places[old]]
    return fresh
