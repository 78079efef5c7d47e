import copy
from dataclasses import replace

import pyarrow as pa
import pytest
import sacrebleu
import torch
from pyarrow import parquet
from torch.nn.functional import cross_entropy

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task import agreement, difference
from prunus.task._bleu import bleu, bleu_counts, chrf, sentence_chrf
from tests.task.pairs import PAIRS, WORDS, words, write
from tests.tiny import tiny

FAMILIES = ("t5", "bart", "marian")
SOURCES, TARGETS = (list(side) for side in zip(*PAIRS, strict=True))
SAID = [*TARGETS[:5], *SOURCES[5:9], "", "ein Mann schläft dort .", "der Hund, der rennt"]
OTHER = [*TARGETS[:2], *SOURCES[2:5], *TARGETS[5:]]


def task(path, **settings):
    more = {"splits": {"validation": "train"}, "max_new_tokens": 9, **settings}
    return build("task", {"name": "translation", "data": str(path), **more})


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "pairs.jsonl")


@pytest.fixture
def plain(data):
    return task(data).prepare(words())


def ready(data, model, **settings):
    return task(data, **settings).prepare(words()).fitted(model.config)


def model_of(family):
    """A tiny model that does not say one word for ever."""
    model = copy.deepcopy(tiny(family))
    if family != "t5":
        model.final_logits_bias.zero_()
    return model


def test_bleu_and_chrf_are_those_of_sacrebleu(plain):
    quality = plain.assess("validation", SAID, 2.5)
    right = plain.splits["validation"].targets
    assert right == TARGETS
    assert quality.value == pytest.approx(sacrebleu.corpus_bleu(SAID, [TARGETS]).score, abs=1e-9)
    found = sacrebleu.corpus_chrf(SAID, [TARGETS]).score
    assert quality.extra == {"chrf": pytest.approx(found), "loss": 2.5}
    assert quality.metric == "bleu"
    assert quality.signature == (
        f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    )
    one = sacrebleu.sentence_chrf(SAID[10], [TARGETS[10]]).score
    assert quality.scores[10].item() == pytest.approx(one / 100)
    assert plain.assess("validation", TARGETS).value == pytest.approx(100)


def test_the_bootstrap_is_over_corpora_and_paired(plain):
    one, other = (plain.assess("validation", said) for said in (SAID, OTHER))
    draw = torch.Generator().manual_seed(0)
    values = []
    for _ in range(1000):
        rows = torch.randint(len(PAIRS), (len(PAIRS),), generator=draw).tolist()
        right = [[TARGETS[row] for row in rows]]
        values.append(
            [
                sacrebleu.corpus_bleu([said[row] for row in rows], right).score
                for said in (SAID, OTHER)
            ]
        )
    drawn = torch.tensor(values)
    assert one.stderr == pytest.approx(drawn[:, 0].std().item(), abs=1e-4)
    apart = difference(one, other)
    assert apart.value == pytest.approx(one.value - other.value)
    assert apart.margin == pytest.approx(1.96 * (drawn[:, 0] - drawn[:, 1]).std().item(), abs=1e-3)
    same = difference(one, one)
    assert (same.value, same.margin) == (0, 0)


def test_agreement_counts_equal_texts(plain):
    one, other = (plain.assess("validation", said) for said in (SAID, OTHER))
    expected = sum(a == b for a, b in zip(SAID, OTHER, strict=True)) / len(SAID)
    assert agreement(one, other) == pytest.approx(expected)


def test_counts_of_sentences_add_up_to_a_corpus():
    counts = bleu_counts(SAID, TARGETS)
    assert counts.shape == (len(SAID), 10)
    assert bleu(counts[:0]) == 0
    assert bleu(counts[9:10]) == 0
    assert sentence_chrf(SAID, TARGETS)[9] == 0
    assert chrf(TARGETS, TARGETS) == pytest.approx(100)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_is_what_the_model_makes_of_its_labels(family, data):
    model = tiny(family)
    prepared = ready(data, model)
    batch = prepared.batches("validation", 12)[0]
    own = model.prepare_decoder_input_ids_from_labels(labels=batch["labels"])
    assert torch.equal(batch["decoder_input_ids"], own)
    assert torch.equal(batch["decoder_attention_mask"].bool(), batch["labels"] != -100)
    assert batch["labels"][batch["labels"] != -100].eq(1).sum() == 12  # one end each
    assert set(batch) == {
        "input_ids", "attention_mask", "labels", "decoder_input_ids", "decoder_attention_mask"
    }  # fmt: skip
    with torch.no_grad():
        loss = model(**batch).loss
        bare = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                     labels=batch["labels"]).loss  # fmt: skip
    assert loss.item() == pytest.approx(bare.item(), rel=1e-5)
    quality = prepared.evaluate(model, batch_size=5)
    assert quality.extra["loss"] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_padding_changes_no_translation(family, data):
    model = model_of(family)
    prepared = ready(data, model)
    many, each = (prepared.evaluate(model, batch_size=size) for size in (12, 1))
    assert many.said == each.said
    assert len({*many.said}) > 1
    assert many.extra["loss"] == pytest.approx(each.extra["loss"], rel=1e-5)
    batch = prepared.batches("validation", 12)[0]
    blind = {**batch, "attention_mask": torch.ones_like(batch["attention_mask"])}
    assert not torch.equal(prepared.translate(model, batch), prepared.translate(model, blind))


def test_translations_are_those_of_generate(data):
    model, tokenizer = model_of("t5"), words()
    prepared = ready(data, model, beams=3, max_new_tokens=6)
    quality = prepared.evaluate(model, batch_size=12)
    for row in (2, 7):
        ids = tokenizer(SOURCES[row], return_tensors="pt")["input_ids"]
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), num_beams=3, max_new_tokens=6,
            do_sample=False, eos_token_id=1,
        )  # fmt: skip
        assert quality.said[row] == tokenizer.decode(out[0], skip_special_tokens=True).strip()
    greedy = ready(data, model, max_new_tokens=6).evaluate(model, batch_size=12)
    assert greedy.said != quality.said


def test_an_answer_ends_at_its_end(data):
    model = tiny("bart")
    prepared = ready(data, model)
    model.final_logits_bias[:, 1] = 1000
    ids = prepared.translate(model, prepared.batches("validation", 12)[0])
    assert ids.shape == (12, 2)
    quality = prepared.evaluate(model)
    assert set(quality.said) == {""}
    assert (quality.value, quality.stderr, quality.extra["chrf"]) == (0, 0, 0)


def test_the_same_model_says_the_same(data):
    model = tiny("t5").train()
    prepared = ready(data, model)
    assert prepared.evaluate(model).said == prepared.evaluate(model).said
    assert model.training


def test_a_broken_model_is_told(data):
    model = copy.deepcopy(tiny("t5"))
    with torch.no_grad():
        model.shared.weight.fill_(float("nan"))
    with pytest.raises(PrunusError, match="not finite"):
        ready(data, model).evaluate(model)


def test_changes_are_by_the_chrf_of_a_sentence(plain):
    dense, pruned = (plain.assess("validation", said) for said in (TARGETS, SAID))
    found = plain.changes("validation", dense, pruned, 2)
    worse = found["worse"]
    assert (worse.n, found["better"].n) == (7, 0)
    lost = [change.dense.score - change.pruned.score for change in worse.examples]
    assert lost == sorted(lost, reverse=True)
    assert [change.asked.right for change in worse.examples] == [TARGETS[9], TARGETS[8]]
    first = worse.examples[0]
    assert (first.asked.texts, first.dense.text, first.pruned.text) == (
        (SOURCES[9],), TARGETS[9], "",
    )  # fmt: skip
    assert (first.dense.score, first.pruned.score) == (pytest.approx(1), 0)
    assert plain.changes("validation", pruned, dense, 2)["better"].n == 7


def test_the_source_as_its_own_translation(plain):
    expected = sacrebleu.corpus_bleu(SOURCES, [TARGETS]).score
    assert plain.baselines() == {"copied_source": pytest.approx(expected)}


def test_a_prefix_and_cut_texts(data):
    model = tiny("t5")
    prepared = ready(data, model, prefix="the the ", max_length=4, max_target_length=3)
    row = prepared.examples("validation")[7]
    tokenizer = words()
    assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == ["the", "the", "a", "</s>"]
    assert tokenizer.convert_ids_to_tokens(row["labels"]) == ["ein", "Hund", "</s>"]
    assert set(prepared.tokens("validation")) <= set(range(3 + len(WORDS)))
    assert prepared.longest(model.config) == 4


def test_positions_bound_what_is_read_and_written(data):
    model = tiny("bart", max_position_embeddings=5)
    prepared = ready(data, model)
    assert max(len(row["labels"]) for row in prepared.examples("validation")) == 5
    assert prepared.evaluate(model).n == len(PAIRS)


def test_the_column_of_the_hub_and_other_columns(tmp_path):
    rows = [{"en": source, "de": f" {target} "} for source, target in PAIRS]
    parquet.write_table(
        pa.table({"translation": rows, "id": range(12)}), tmp_path / "train.parquet"
    )
    found = task(tmp_path / "train.parquet").prepare(words()).splits["validation"]
    assert (found.sources, found.targets) == (SOURCES, TARGETS)
    back = task(tmp_path / "train.parquet", source="de", target="en").prepare(words())
    assert back.splits["validation"].sources == TARGETS


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a dog", "")], "column 'de' holds nothing in its row 0"),
        ([("a dog", "  ")], "column 'de' holds nothing in its row 0"),
        ([("a dog", "ein Hund"), (" ", "hier")], "column 'en' holds nothing in its row 1"),
    ],
)
def test_empty_texts_are_told(rows, said, tmp_path):
    with pytest.raises(PrunusError, match=said):
        task(write(tmp_path / "pairs.jsonl", rows)).prepare(words())


def test_missing_columns_are_told(data):
    with pytest.raises(PrunusError, match=r"'fr'.*Known: de, en.*Set `source` and `target`"):
        task(data, target="fr").prepare(words())


def test_tokenizers_without_an_end_are_told(data):
    endless = words()
    endless.eos_token = None
    with pytest.raises(PrunusError, match="needs a tokenizer with an end of text"):
        task(data).prepare(endless)
    model = tiny("t5")
    unended = task(data).prepare(words(end=False)).fitted(model.config)
    with pytest.raises(PrunusError, match="does not end every text with '</s>'"):
        unended.examples("validation")


def test_models_that_do_not_fit_are_told(data, plain):
    with pytest.raises(PrunusError, match=r"prepared\.fitted\(model\.config\)"):
        plain.batches("validation")
    config = copy.deepcopy(tiny("t5").config)
    config.decoder_start_token_id = None
    with pytest.raises(PrunusError, match="no decoder_start_token_id"):
        plain.fitted(config)
    small = tiny("t5", vocab_size=20)
    with pytest.raises(PrunusError, match="tokenizer has 50 tokens, the model 20"):
        plain.fitted(small.config)
    asked = task(data)
    assert asked.answered_by(tiny("marian"))
    assert not asked.answered_by(tiny("bert"))
    assert not asked.answered_by(tiny("bart", "BartForSequenceClassification"))
    assert not asked.answered_by(tiny("t5", "T5EncoderModel"))
    assert not asked.answered_by(tiny("gpt2"))


def test_a_loss_counts_every_token_once(data):
    model = tiny("t5")
    prepared = ready(data, model)
    each = [batch for batch in prepared.batches("validation", 1)]
    with torch.no_grad():
        lost = sum(
            cross_entropy(model(**batch).logits[0], batch["labels"][0], reduction="sum")
            for batch in each
        )
    tokens = sum(batch["labels"].numel() for batch in each)
    quality = replace(prepared).evaluate(model, batch_size=12)
    assert quality.extra["loss"] == pytest.approx(float(lost) / tokens, rel=1e-5)
