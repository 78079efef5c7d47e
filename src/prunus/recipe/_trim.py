"""The vocabulary of a run: tokens that the task's texts never use go before anything is scored."""

from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prunus.anatomy import anatomy
from prunus.drive import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.recipe._settings import Vocabulary
from prunus.report import _schema as schema
from prunus.task import Prepared
from prunus.task._tokenized import Tokenized
from prunus.vocabulary import NAME, plan_of, trimmed


@dataclass(frozen=True)
class Trimmed:
    """A model, its tokenizer and its data with fewer tokens, and which they are."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prepared: Prepared[Any]
    plan: Plan
    told: schema.Vocabulary


def trim(
    settings: Vocabulary, model: PreTrainedModel, prepared: Prepared[Any], split: str
) -> Trimmed:
    """Trim the vocabulary of a model to what the task's splits use.

    Args:
        settings: which splits, and how often a token must be seen.
        model: left as it is.
        prepared: the task, made ready for the model's tokenizer.
        split: where it is counted what the texts of another split lose.

    Raises:
        PrunusError: the task has none of the splits, or see
            :func:`prunus.vocabulary.trim_vocabulary`.
    """
    if not isinstance(prepared, Tokenized):
        raise PrunusError("vocab: the examples of this task have no tokens; leave vocab out")
    seen = tuple(name for name in settings.splits if name in prepared.splits)
    prepared.require(*(seen or settings.splits[:1]))
    counts = sum((_counts(prepared, name) for name in seen), start=Counter())
    plan = plan_of(model, prepared.tokenizer, counts, settings.min_count)
    tokenizer = trimmed(prepared.tokenizer, plan[NAME])
    small = shrink(model, plan)
    after = replace(prepared, tokenizer=tokenizer).fitted(small.config)
    were, are = _counts(prepared, split), _counts(after, split)
    gone = sum(times for token, times in were.items() if not plan[NAME][token])
    kept, rows = plan.kept()[NAME]
    size = _bytes(model)
    told = schema.Vocabulary(
        tokens=schema.Pair(dense=rows, pruned=kept),
        bytes=schema.Pair(dense=size, pruned=size // rows * kept),
        seen=seen,
        split=split,
        changed=gone / were.total(),
        unknown=_unknown(are, tokenizer) - _unknown(were, prepared.tokenizer),
    )
    return Trimmed(small, tokenizer, after, plan, told)


def _counts(prepared: Tokenized[Any], split: str) -> Counter[int]:
    return Counter(prepared.tokens(split))


def _unknown(counts: Counter[int], tokenizer: PreTrainedTokenizerBase) -> float:
    token: Any = tokenizer.unk_token_id
    return counts[token] / counts.total()


def _bytes(model: PreTrainedModel) -> int:
    """Of every tensor that has a row for each token."""
    sites = anatomy(model)
    shapes = [sites.tensors.shapes[part.tensor] for part in sites[NAME].slices]
    return sum(map(prod, shapes)) * model.dtype.itemsize
