import pyarrow as pa
import pytest
from pyarrow import parquet

from prunus.errors import PrunusError
from prunus.registry import build


@pytest.fixture
def prepare(tmp_path, tokenizer):
    """Prepares a task on texts with the given labels."""

    def prepare(values, num_labels=None, head_names=None, **settings):
        table = pa.table({"text": ["good"] * len(values), "label": values})
        parquet.write_table(table, tmp_path / "rows.parquet")
        task = {"name": "text_classification", "data": str(tmp_path / "rows.parquet"), **settings}
        return build("task", task).prepare(tokenizer, num_labels, head_names=head_names)

    return prepare


def test_names_are_sorted_and_numbers_are_class_indices(prepare):
    assert prepare(["b", "c", "a"]).labels("train").tolist() == [1, 2, 0]
    gap = prepare([2, 0, 2])
    assert gap.labels("train").tolist() == [2, 0, 2]
    assert gap.num_labels == 3
    assert prepare([1.0, 0.0]).labels("train").tolist() == [1, 0]
    assert prepare([True, False]).labels("train").tolist() == [1, 0]


def test_given_names_set_the_order(prepare):
    assert prepare([5, 1, 3], labels=[1, 3, 5]).labels("train").tolist() == [2, 0, 1]
    with pytest.raises(
        PrunusError, match=r"unknown label in column 'label'.*'maybe'.*Known: no, ye"
    ):
        prepare(["yes", "maybe"], labels=["no", "yes"])


def test_the_order_of_the_head_is_followed(prepare):
    swapped = prepare(["neg", "pos"], 2, head_names=["POS", "NEG"])
    assert swapped.labels("train").tolist() == [1, 0]
    assert swapped.label_names == ["pos", "neg"]
    other = prepare(["neg", "pos"], 2, head_names=["LABEL_0", "LABEL_1"])
    assert other.labels("train").tolist() == [0, 1]


def test_a_wider_head_is_kept(prepare):
    assert prepare(["a", "b"], 3).num_labels == 3


def test_labels_outside_the_head_are_told(prepare):
    with pytest.raises(
        PrunusError, match=r"train: .* label '2', class 2, outside .* 2 outputs \(0"
    ):
        prepare([0, 1, 2], 2)
    with pytest.raises(PrunusError, match=r"holds the label 'c', class 2"):
        prepare(["a", "b", "c"], 2)
    with pytest.raises(PrunusError, match=r"unknown label in column 'label'.*'-1'"):
        prepare([0, 1, -1], 2)


def test_a_fraction_is_no_class(prepare):
    with pytest.raises(PrunusError, match=r"column 'label' holds 0\.5.*regression: true"):
        prepare([0.5, 1.0])


def test_regression_wants_numbers_and_one_output(prepare):
    prepared = prepare([0.5, 3.0], 1, regression=True)
    assert prepared.labels("train").tolist() == [0.5, 3.0]
    assert (prepared.num_labels, prepared.metrics) == (1, ("spearman",))
    with pytest.raises(PrunusError, match=r"a head of 1 output, the model's has 2"):
        prepare([0.5, 3.0], 2, regression=True)
    with pytest.raises(PrunusError, match=r"'label' must hold numbers.*'high'"):
        prepare(["high", "low"], regression=True)
    with pytest.raises(PrunusError, match=r"'label' \(train\) holds nan"):
        prepare([0.5, float("nan")], regression=True)
