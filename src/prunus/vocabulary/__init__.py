"""Vocabularies without the tokens that the data never uses, in models and tokenizers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prunus.anatomy import anatomy
from prunus.anatomy._vocabulary import NAME
from prunus.checkpoint import adopt
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.vocabulary._needed import needed
from prunus.vocabulary._tokenizer import require_fast, state_of, trimmed

__all__ = ["NAME", "count", "plan_of", "trim_vocabulary", "trimmed"]

CHUNK = 1000
"""Texts that are tokenised at once."""


def trim_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Iterable[str] | Mapping[int, int],
    min_count: int = 1,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A copy of a model and its tokenizer without the tokens that the data does not use.

    Texts made of tokens that stay are split as before, and the model answers them as before. Any
    other text is split into smaller pieces that stay: see :func:`plan_of`.

    Args:
        model: a model of a known family that reads text; it is left as it is.
        tokenizer: its tokenizer, a fast one; it is left as it is.
        data: texts like those that the model will read, or how often each token id was seen.
        min_count: how often a token must be seen to stay.

    Returns:
        The smaller model and tokenizer, to be saved together: the ids are new.

    Raises:
        PrunusError: the model reads no text, the tokenizer cannot be followed, or the two do not
            belong together.
    """
    counts: Any = data if isinstance(data, Mapping) else count(tokenizer, data)
    plan = plan_of(model, tokenizer, counts, min_count)
    return adopt(shrink(model, plan)), trimmed(tokenizer, plan[NAME])


def count(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Counter[int]:
    """How often each token id is seen in texts, whole and with their special tokens."""
    found: Counter[int] = Counter()
    left = iter(texts)
    while chunk := list(islice(left, CHUNK)):
        rows: Any = tokenizer(chunk, verbose=False)["input_ids"]
        found.update(chain.from_iterable(rows))
    return found


def plan_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    counts: Mapping[int, int],
    min_count: int = 1,
) -> Plan:
    """Which tokens stay.

    Those that are seen; special and added ones; single characters and bytes, so that any text can
    be written that could be; what the tokenizer needs to build these; what the model knows by
    number.

    Args:
        model: a model that reads text.
        tokenizer: its tokenizer, a fast one.
        counts: how often each token id was seen.
        min_count: how often a token must be seen to stay for that.

    Returns:
        A plan of the one site of kind vocab.

    Raises:
        PrunusError: the model reads no text, the tokenizer cannot be followed, the two do not
            belong together, or nothing was seen often enough.
    """
    require_fast(tokenizer)
    site = anatomy(model).of("vocab")[NAME]
    seen = {token for token, times in counts.items() if times >= min_count}
    if not seen:
        raise PrunusError(f"no token was seen {min_count} times or more: is there any text?")
    wanted = needed(state_of(tokenizer), seen | set(tokenizer.all_special_ids)) | {*site.needed}
    if max(wanted) >= site.units:
        raise PrunusError(
            f"token {max(wanted)} is needed, but {type(model).__name__} has embeddings of"
            f" {site.units} tokens: the tokenizer is another model's"
        )
    stays = torch.zeros(site.units, dtype=torch.bool)
    stays[sorted(wanted)] = True
    return Plan({NAME: stays}, type(model).__name__)
