"""Smaller tokenizers of every model, trained here, split texts of kept tokens as before."""

import random
from itertools import pairwise

import pytest
import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from prunus.errors import PrunusError
from prunus.vocabulary import count, trimmed
from prunus.vocabulary._merges import Merges
from prunus.vocabulary._needed import needed
from prunus.vocabulary._tokenizer import state_of

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
SYLLABLES = ["ba", "nan", "co", "ri", "ander", "th", "ing", "un", "der", "stand", "ü", "日本", "x"]


def corpus(seed, size=120):
    """Texts of made-up words that share their parts."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(60)]
    return [" ".join(draw.choices(words, k=draw.randint(1, 9))) for _ in range(size)]


def _ends(tokenizer):
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    return processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=ids
    )


def _word_piece(made):
    made.model = models.WordPiece(unk_token="<unk>")
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return trainers.WordPieceTrainer(vocab_size=150, special_tokens=SPECIAL)


def _bytes(made):
    made.model = models.BPE()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=sorted(alphabet)
    )


def _clip(made):
    made.model = models.BPE(unk_token="<unk>", end_of_word_suffix="</w>")
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return trainers.BpeTrainer(vocab_size=150, special_tokens=SPECIAL, end_of_word_suffix="</w>")


def _prefixed(made):
    made.model = models.BPE(unk_token="<unk>", continuing_subword_prefix="##")
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return trainers.BpeTrainer(
        vocab_size=150, special_tokens=SPECIAL, continuing_subword_prefix="##"
    )


def _fallback(made):
    made.model = models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    every = [f"<0x{byte:02X}>" for byte in range(256)]
    return trainers.BpeTrainer(vocab_size=400, special_tokens=[*SPECIAL, *every])


def _unigram(made):
    made.model = models.Unigram()
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return trainers.UnigramTrainer(vocab_size=150, special_tokens=SPECIAL, unk_token="<unk>")


def _words(made):
    made.model = models.WordLevel(unk_token="<unk>")
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return trainers.WordLevelTrainer(special_tokens=SPECIAL)


KINDS = {made.__name__.strip("_"): made for made in (
    _word_piece, _bytes, _clip, _prefixed, _fallback, _unigram, _words
)}  # fmt: skip


def whole(kind):
    """A tokenizer of some kind with two added tokens, the last of its vocabulary."""
    inner = Tokenizer(models.BPE())
    trainer = KINDS[kind](inner)
    inner.train_from_iterator(corpus(0, 400), trainer)
    inner.post_processor = _ends(inner)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>",
             "bos_token": "<s>", "eos_token": "</s>", "padding_side": "left"}  # fmt: skip
    made = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=33, **names)
    made.add_tokens(["NASA", "E=mc²"])
    return made


def smaller(tokenizer, texts, min_count=1):
    """What the texts leave, and the mask that says so."""
    seen = [token for token, times in count(tokenizer, texts).items() if times >= min_count]
    wanted = needed(state_of(tokenizer), seen)
    stays = torch.isin(torch.arange(len(tokenizer)), torch.tensor(sorted(wanted)))
    return trimmed(tokenizer, stays), stays


def split(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_seen_texts_are_split_as_before(kind, seed, tmp_path):
    tokenizer = whole(kind)
    texts = corpus(seed, 12)
    small, stays = smaller(tokenizer, texts)
    assert len(small) == int(stays.sum()) < len(tokenizer)
    for text in texts:
        assert split(small, text) == split(tokenizer, text)
    new = stays.cumsum(0) - 1
    for pair in pairwise(texts):
        before = tokenizer(*pair)
        after = small(*pair)
        assert after["input_ids"] == new[before["input_ids"]].tolist()
        assert before.keys() == after.keys()
        assert small.decode(after["input_ids"]) == tokenizer.decode(before["input_ids"])
    small.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == small.get_vocab()
    assert again(texts)["input_ids"] == small(texts)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_split_into_what_stays(kind):
    tokenizer = whole(kind)
    small, _ = smaller(tokenizer, corpus(1, 3))
    left = set(small.get_vocab())
    assert left < set(tokenizer.get_vocab())
    changed = 0
    for text in corpus(0, 200):
        before, after = split(tokenizer, text), split(small, text)
        assert left.issuperset(after)
        changed += before != after
        if left.issuperset(before):
            assert before == after
        if kind != "words":
            assert "<unk>" not in after
            assert "".join(after).count("ü") == "".join(before).count("ü")
    assert changed > 20


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_word_stays(kind):
    tokenizer = whole(kind)
    small, _ = smaller(tokenizer, ["ba"])
    assert {*SPECIAL, "NASA", "E=mc²"} <= small.get_vocab().keys()
    for name in ("pad", "unk", "mask", "bos", "eos"):
        assert getattr(small, f"{name}_token") == getattr(tokenizer, f"{name}_token")
    assert small.model_max_length == 33
    assert small.padding_side == "left"
    assert small.name_or_path == tokenizer.name_or_path
    assert split(small, "ba NASA") == split(tokenizer, "ba NASA")
    if kind in ("bytes", "fallback"):
        assert split(small, "Ω\t🙂") == split(tokenizer, "Ω\t🙂")
        assert "<unk>" not in split(small, "Ω\t🙂")
    if kind in ("bytes", "clip", "prefixed", "fallback"):
        merges = state_of(small)["model"]["merges"]
        assert [*merges] == [
            pair for pair in state_of(tokenizer)["model"]["merges"] if pair in merges
        ]


def test_rare_tokens_go_too():
    tokenizer = whole("word_piece")
    sizes = [len(smaller(tokenizer, corpus(0), least)[0]) for least in (1, 30, 10**6)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_tokenizer_itself_stays_as_it_is():
    tokenizer = whole("unigram")
    before = tokenizer.get_vocab()
    smaller(tokenizer, ["ba"])
    assert tokenizer.get_vocab() == before


def test_a_class_that_builds_itself_anew_is_followed(tmp_path):
    words = [*("[PAD]", "x", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "good", "film", "a", "##s", "z"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    small, stays = smaller(tokenizer, ["films"])
    assert type(small) is BertTokenizer
    assert [word for word, stay in zip(words, stays, strict=True) if not stay] == ["good"]
    assert split(small, "good Films") == ["[CLS]", "[UNK]", "film", "##s", "[SEP]"]
    small.save_pretrained(tmp_path / "small")
    assert not (tmp_path / "small" / "vocab.txt").exists()
    again = BertTokenizer.from_pretrained(tmp_path / "small")
    assert again(["good films a"])["input_ids"] == small(["good films a"])["input_ids"]


def test_the_older_processors_are_followed():
    tokenizer = whole("bytes")
    ids = tokenizer.convert_tokens_to_ids(["</s>", "<s>"])
    pair = [("</s>", ids[0]), ("<s>", ids[1])]
    tokenizer.backend_tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(), processors.RobertaProcessing(*pair)]
    )
    tokenizer.backend_tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    small, _ = smaller(tokenizer, ["ba"])
    assert split(small, "ba") == split(tokenizer, "ba") != split(small, "bax")


def test_a_token_that_no_merge_makes_stays_alone():
    merges = Merges({"merges": ["a b", "b c"]})
    assert merges.closure({"abc"}) == {"abc", "ab"}
    assert merges.closure({"bc"}) == {"bc"}


def test_an_unknown_model_is_refused():
    with pytest.raises(PrunusError, match="unknown tokenizer model 'BPEE'"):
        needed({"model": {"type": "BPEE", "vocab": {}}, "added_tokens": []}, [])
