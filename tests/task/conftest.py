import csv
import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.task import squad

WORDS = ["good", "bad", "film", "the", "is", "a", "very", "not", "long", "short"]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


@pytest.fixture(scope="session")
def tokenizer():
    """Words of a tiny vocabulary between [CLS] and [SEP]."""
    words = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **names)


@pytest.fixture(scope="session")
def bert():
    """The config of a tiny BERT for that vocabulary."""
    return BertConfig(
        vocab_size=len(SPECIAL + WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=32,
    )


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory, bert, tokenizer):
    """A folder with a random tiny BERT without a head, and its tokenizer."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    torch.manual_seed(0)
    BertModel(bert).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def write(tmp_path):
    """Writes rows (a header first) to a CSV file and tells its path."""

    def write(rows, name="data.csv", encoding="utf-8") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding=encoding) as file:
            csv.writer(file).writerows(rows)
        return str(path)

    return write


@pytest.fixture
def reviews(write):
    """A CSV file of 40 different texts of different lengths, good ones and bad ones."""
    rows = [("text", "label")]
    for number in range(40):
        label = ["bad", "good"][number % 2]
        rows.append((f"{'very ' * (number % 7)}{label} film {number}", label))
    return write(rows)


@pytest.fixture
def asked(tmp_path):
    """A JSONL file in SQuAD's columns: the answer is the one word ``good`` or ``bad`` of a text."""
    rows = []
    for number in range(40):
        word, film = ["bad", "good"][number % 2], "the film is " * (number % 4)
        rows.append(squad.row(f"{'very ' * (number % 3)}{word} {film}long {number}", "is", word))
    return squad.write(tmp_path / "squad.jsonl", rows)


@pytest.fixture
def mirror():
    """The root of the real task data."""
    root = os.environ.get("PRUNUS_DATA")
    if not root:
        pytest.skip("PRUNUS_DATA is not set: no real task data")
    return Path(root)
