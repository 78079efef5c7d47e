"""How SQuAD counts, word by word and slowly, from its two definitions; and rows of its columns."""

import json
import string
from itertools import groupby
from pathlib import Path


def words(text):
    """Lower case; without punctuation; runs of letters that are articles become blanks."""
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    runs = ("".join(run) for _, run in groupby(bare, key=str.isalnum))
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def exact(answer, gold):
    return 1.0 if words(answer) == words(gold) else 0.0


def f1(answer, gold):
    """1.1: the harmonic mean of precision and recall over the words both have, 0 where none is."""
    said, right = words(answer), words(gold)
    left = list(right)
    hits = 0
    for word in said:
        if word in left:
            left.remove(word)
            hits += 1
    if hits == 0:
        return 0.0
    precision, recall = hits / len(said), hits / len(right)
    return 2 * precision * recall / (precision + recall)


def f1_or_nothing(answer, gold):
    """2.0: where either is nothing, 1 if both are, else 0."""
    if not words(answer) or not words(gold):
        return 1.0 if words(answer) == words(gold) else 0.0
    return f1(answer, gold)


def reference(answer, golds, no_answer):
    """(exact match, F1) of one answer."""
    if no_answer:
        golds = [gold for gold in golds if words(gold)]
    golds = golds or [""]
    overlap = f1_or_nothing if no_answer else f1
    return max(exact(answer, gold) for gold in golds), max(overlap(answer, g) for g in golds)


def row(context, question, *answers):
    """A row in SQuAD's columns; answers are looked for in the context."""
    starts = [context.index(answer) for answer in answers]
    found = {"text": list(answers), "answer_start": starts}
    return {"question": question, "context": context, "answers": found}


def write(path: Path, rows) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)
