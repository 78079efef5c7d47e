"""The model card: what the hub reads of it, what people read, what is carried over."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard

from prunus.report._card import OPEN, Origin, card, front, reopened
from tests.report.sample import sample

OPENING = "import prunus\n\nmodel = prunus.load('path/to/this/folder')"
ORIGIN = Origin(OPENING, "owner/dense", "owner/data", "small", "text-classification")
THEIRS = {"license": "mit", "language": ["en", "de"], "tags": ["x", "prunus"], "datasets": "other"}


def test_the_hub_reads_its_head():
    data = ModelCard(card(sample(), ORIGIN)).data
    assert (data.base_model, data.pipeline_tag) == ("owner/dense", "text-classification")
    assert data.tags == ["prunus", "pruning"]
    assert (data.datasets, data.metrics) == (["owner/data"], ["accuracy"])
    assert data.library_name == "transformers"
    (found,) = data.eval_results
    assert (found.metric_type, found.metric_value) == ("accuracy", 73.85)
    assert (found.dataset_type, found.dataset_config) == ("owner/data", "small")


def test_what_the_dense_card_says_is_carried_over():
    origin = Origin(OPENING, front={**THEIRS, "base_model": "a/b", "model-index": ["theirs"]})
    text = card(sample(), origin)
    data = ModelCard(text).data
    assert (data.license, data.language, data.base_model) == ("mit", ["en", "de"], "a/b")
    assert data.tags == ["prunus", "pruning", "x"]
    assert data.datasets == ["other"]
    assert [own.metric_value for own in data.eval_results] == [73.85]
    assert "That of the dense model: mit." in text


def test_a_sentence_transformer_stays_one():
    theirs = {"pipeline_tag": "sentence-similarity", "library_name": "sentence-transformers"}
    kept = ModelCard(card(sample(), Origin(OPENING, library="sentence-transformers", front=theirs)))
    assert kept.data.pipeline_tag == "sentence-similarity"
    other = ModelCard(card(sample(), Origin(OPENING, pipeline="translation", front=theirs)))
    assert (other.data.library_name, other.data.pipeline_tag) == ("transformers", "translation")


def test_a_metric_has_the_hubs_name():
    quality = sample().quality.model_dump() | {"metric": "matthews", "pruned": None}
    data = ModelCard(card(sample(quality=quality), ORIGIN)).data
    assert data.metrics == ["matthews_correlation"]
    assert data.eval_results is None


def test_the_measured_figures_are_there():
    text = card(sample(), ORIGIN)
    for shown in ("73.85 ± 0.98", "1.88× (1.85 to 1.93)", "torch-eager, 8 by 24 tokens, 1 thread"):
        assert shown in text
    assert f"{OPEN}\n\n```python\n{OPENING}\n```" in text
    assert "seed 0" in text
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert yaml.safe_load(recipe) == sample().recipe


def test_no_cell_is_ended_and_no_block_left_by_what_comes_from_outside():
    evil = "a | b <script> ```` \n c"
    quality = sample().quality.model_dump() | {"metric": evil}
    text = card(
        sample(quality=quality, recipe={"model": evil}, kept={f"{evil}:heads": [1, 2]}), ORIGIN
    )
    rows = [line for line in text.splitlines() if line.startswith("| a ")]
    assert rows
    assert all(re.sub(r"\\\|", "", row).count("|") == 5 for row in rows)
    assert not [row for row in rows if "<script" in row]
    assert "`````yaml" in text


@pytest.mark.parametrize("text", ["", "# no head", "---\n- a list\n---\n", "---\n{a: [\n---\n"])
def test_a_card_without_a_head_says_nothing(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    assert front(tmp_path / "README.md") == {}
    assert front(tmp_path / "missing.md") == {}


def test_another_opening_takes_the_place_of_the_old_one():
    text = card(sample(), ORIGIN)
    changed = reopened(text, "model = other()")
    assert OPENING not in changed
    assert changed == text.replace(OPENING, "model = other()")
    assert reopened("# Theirs\n\n## Usage\n", "x") == "# Theirs\n\n## Usage\n"
