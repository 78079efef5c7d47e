"""How SQuAD counts right answers: exact match and F1 of words, after normalisation.

Rajpurkar et al., arXiv 1606.05250 (1.1) and arXiv 1806.03822 (2.0).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

from prunus.task import _fingerprint

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normal(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, words one space apart."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def score(answer: str, golds: Sequence[str], no_answer: bool) -> tuple[float, float]:
    """Exact match (0 or 1) and F1 (0 to 1) of an answer, each the best over the gold answers.

    Args:
        answer: what was said; ``""`` says that there is no answer.
        golds: right answers; none where the question has none.
        no_answer: count as SQuAD 2.0 does, where nothing said for nothing is right: gold answers
            without a word are left out, and F1 of two empty answers is 1. Version 1.1 keeps them,
            and F1 of answers that share no word is 0 even where both are empty.
    """
    said = normal(answer)
    right = [normal(gold) for gold in golds]
    if no_answer:
        right = [gold for gold in right if gold]
    right = right or [""]
    return max(float(said == gold) for gold in right), max(
        _f1(said.split(), gold.split(), no_answer) for gold in right
    )


def fingerprint(answer: str) -> int:
    """A signed 64-bit number that is the same for answers of the same normal form."""
    return _fingerprint.fingerprint(normal(answer))


def _f1(said: list[str], gold: list[str], no_answer: bool) -> float:
    """Harmonic mean of precision and recall of a bag of words: 2 shared / (said + gold)."""
    if no_answer and not (said and gold):
        return float(said == gold)
    shared = sum((Counter(said) & Counter(gold)).values())
    return 2 * shared / (len(said) + len(gold)) if shared else 0.0
