"""A tiny dense classifier on the disk, its data, and a recipe that prunes it in a second."""

import csv
from pathlib import Path

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import prunus
from tests.tiny import VOCAB, tiny

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
PIECES = ("good", "bad", "film", "the", "is", "very", "##s", "##ly", "long", "short")


def wordpiece():
    """A WordPiece tokenizer of as many tokens as the tiny models know."""
    words = [*SPECIAL, *PIECES, *(f"word{n}" for n in range(VOCAB - len(SPECIAL) - len(PIECES)))]
    vocabulary = {word: index for index, word in enumerate(words)}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=24, **names)


def dense(folder: Path, head: str = "BertForSequenceClassification") -> Path:
    """A random BERT of two layers with a tokenizer."""
    model = tiny("bert", head, num_labels=2, id2label={0: "bad", 1: "good"})
    prunus.save(model, folder, wordpiece())
    return folder


def reviews(path: Path, rows: int = 60) -> Path:
    """A CSV file of short texts, good ones and bad ones."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for row in range(rows):
            label = ("bad", "good")[row % 2]
            writer.writerow((f"{'very ' * (row % 7)}{label} film word{row % 30}", label))
    return path


def recipe(folder: Path, **changes: object) -> Path:
    """The file of a recipe that takes a second, beside its model and its data."""
    splits = {"train": 24, "calibration": 16, "validation": 20}
    data = reviews(folder / "reviews.csv")
    said = {
        "model": str(dense(folder / "dense")),
        "task": {"name": "text_classification", "data": str(data), "splits": splits},
        "budget": {"density": 0.5},
        "calibration": {"samples": 16, "batch_size": 8},
        "latency": {"batch": 2, "pairs": 2},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(said | changes))
    return path
