"""How near translations are to their references: BLEU and chrF, counted by sacrebleu.

Papineni et al. (ACL 2002, P02-1040), Popović (W15-3049); as Post (arXiv 1804.08771) asks for it:
on plain texts, by one public implementation, with its signature.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

ORDER = 4
"""The longest n-grams of BLEU."""


def bleu_counts(said: Sequence[str], right: Sequence[str]) -> Tensor:
    """What BLEU is made of, once it is summed over the sentences of a corpus.

    Args:
        said: translations.
        right: one reference each.

    Returns:
        ``[sentence, 10]`` int64: tokens of the translation and of the reference, n-grams of 1 to 4
        tokens that both have, and those of the translation.
    """
    metric = _bleu()
    found = [metric.sentence_score(one, [other]) for one, other in zip(said, right, strict=True)]
    return torch.tensor([[own.sys_len, own.ref_len, *own.counts, *own.totals] for own in found])


def bleu(counts: Tensor) -> float:
    """BLEU in percent of a corpus, of the counts ``[sentence, 10]`` of its sentences."""
    said, right, *rest = counts.sum(0).tolist()
    found = _bleu().compute_bleu(rest[:ORDER], rest[ORDER:], said, right, smooth_method="exp")
    return found.score


def chrf(said: Sequence[str], right: Sequence[str]) -> float:
    """The chrF2 of a corpus, in percent."""
    return _chrf().corpus_score(said, [right]).score


def sentence_chrf(said: Sequence[str], right: Sequence[str]) -> Tensor:
    """The chrF2 ``[sentence]`` float64 of each sentence, from 0 to 1."""
    pairs = zip(said, right, strict=True)
    found = [_chrf().sentence_score(one, [other]).score / 100 for one, other in pairs]
    return torch.tensor(found, dtype=torch.float64)


def signature() -> str:
    """How sacrebleu counted BLEU: references, case, tokens, smoothing, its version."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU()
    metric.corpus_score(["a"], [["a"]])  # the number of references is known only then
    return str(metric.get_signature())


@cache
def _bleu() -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True)  # sacrebleu warns of sentences otherwise; counts are the same


@cache
def _chrf() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
