"""A dozen sentences in two languages, a tokenizer that knows their words, and tiny translators."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import prunus
from tests.tiny import VOCAB, tiny

PAIRS = (
    ("a man sleeps", "ein Mann schläft"),
    ("a woman runs", "eine Frau rennt"),
    ("a man runs here and there", "ein Mann rennt hier und dort"),
    ("a dog", "ein Hund"),
    ("the dog sleeps here", "der Hund schläft hier"),
    ("the woman and the man", "die Frau und der Mann"),
    ("here", "hier"),
    ("a dog and a man and a woman run there", "ein Hund und ein Mann und eine Frau rennen dort"),
    ("there a man sleeps", "dort schläft ein Mann"),
    ("the man sleeps and the dog runs", "der Mann schläft und der Hund rennt"),
    ("a woman sleeps there", "eine Frau schläft dort"),
    ("the dog runs", "der Hund rennt"),
)
SPECIAL = ("<pad>", "</s>", "<unk>")
WORDS = tuple(dict.fromkeys(word for pair in PAIRS for text in pair for word in text.split()))


def words(end: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer of as many words as the tiny models know."""
    more = (f"word{n}" for n in range(VOCAB - len(SPECIAL) - len(WORDS)))
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS, *more))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if end:
        inner.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=24, **names)


def write(path: Path, rows=PAIRS, times: int = 1) -> str:
    """A JSONL file of pairs under ``en`` and ``de``."""
    lines = [json.dumps({"en": source, "de": target}) for source, target in rows] * times
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def translator(folder: Path, family: str = "t5") -> Path:
    """A random tiny model that translates, with its tokenizer."""
    prunus.save(tiny(family), folder, words())
    return folder
