import pytest

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task._clean import bare, social

NAMES = ("train", "calibration", "development", "validation")


def prepare(tokenizer, data, seed=0, **settings):
    return build("task", {"name": "text_classification", "data": data, **settings}).prepare(
        tokenizer, seed=seed
    )


def test_drawn_splits_have_their_sizes_and_share_no_row(reviews, tokenizer):
    splits = {"train": 20, "calibration": 5, "development": 6, "validation": 7}
    prepared = prepare(tokenizer, reviews, splits=splits)
    texts = {name: set(prepared.texts(name)) for name in NAMES}
    assert {name: len(rows) for name, rows in texts.items()} == splits
    assert len(set.union(*texts.values())) == sum(splits.values())


def test_the_seed_moves_only_the_calibration_rows(reviews, tokenizer):
    splits = {"train": 20, "calibration": 5, "development": 6, "validation": 7}
    first, again, other = (prepare(tokenizer, reviews, s, splits=splits) for s in (0, 0, 1))
    for name in NAMES:
        assert first.texts(name) == again.texts(name)
        assert (first.texts(name) == other.texts(name)) == (name != "calibration")
    assert not set(other.texts("calibration")) & set(other.texts("train"))


def test_the_test_rows_do_not_move_with_the_training_rows(reviews, tokenizer):
    few = prepare(tokenizer, reviews, splits={"train": 5, "validation": 7})
    many = prepare(tokenizer, reviews, splits={"train": 30, "validation": 7})
    assert few.texts("validation") == many.texts("validation")


def test_a_named_training_split_leaves_out_what_is_tested_on(reviews, tokenizer):
    prepared = prepare(tokenizer, reviews, splits={"development": 6, "validation": 7})
    train, tested = set(prepared.texts("train")), set(prepared.texts("validation"))
    tested |= set(prepared.texts("development"))
    assert len(train) == 27
    assert len(tested) == 13
    assert not train & tested
    assert set(prepared.texts("calibration")) == train


def test_a_split_given_by_name_stays_whole(write, reviews, tokenizer):
    held = write([("text", "label"), ("good film", "good")], "held.csv")
    data = {"train": reviews, "matched": held}
    prepared = prepare(tokenizer, data, splits={"validation": "matched", "calibration": 4})
    assert prepared.texts("validation") == ["good film"]
    assert len(prepared.texts("calibration")) == 4
    assert len(prepared.texts("train")) == 40


def test_a_lone_test_split_is_never_calibrated_on(reviews, tokenizer):
    prepared = prepare(tokenizer, {"validation": reviews})
    assert list(prepared.splits) == ["validation"]
    with pytest.raises(PrunusError, match=r"no training split to draw calibration from"):
        prepare(tokenizer, {"validation": reviews}, splits={"calibration": 3})


def test_splits_that_are_not_there(reviews, tokenizer):
    with pytest.raises(PrunusError, match=r"unknown split 'validate'.*Known: train.*count"):
        prepare(tokenizer, reviews, splits={"validation": "validate"})
    with pytest.raises(PrunusError, match=r"validation asks for 41 rows.*has 40 left"):
        prepare(tokenizer, reviews, splits={"validation": 41})
    with pytest.raises(PrunusError, match=r"calibration asks for 9 rows.*has 8 left"):
        prepare(tokenizer, reviews, splits={"train": 30, "validation": 2, "calibration": 9})
    with pytest.raises(PrunusError, match=r"unknown split 'development'.*development: 500"):
        prepare(tokenizer, reviews).batches("development")
    with pytest.raises(PrunusError, match=r"the source's splits are a, b: say which in `splits`"):
        prepare(tokenizer, {"a": reviews, "b": reviews})


def test_a_bare_text_has_only_words():
    assert bare("RT @you_2: So GOOD!!  http://t.co/x #film_1") == "so good film 1"
    assert bare("start is not RT-ed art") == "start is not ed art"


def test_social_texts_are_deduplicated_and_contradictions_dropped():
    rows = [
        ("Good film!", "yes"),
        ("RT @me: good film http://t.co/1", "yes"),
        ("bad film", "no"),
        ("Bad film...", "yes"),
        ("@you http://t.co/2", "no"),
        ("long film", "no"),
    ]
    assert social(*zip(*rows, strict=True)) == [0, 5]


def test_cleaning_comes_before_drawing(write, tokenizer):
    data = write([("text", "label"), ("good", 1), ("Good!", 1), ("bad", 0), ("film", 0)])
    settings = {"clean": "social", "splits": {"train": 2, "validation": 1}}
    prepared = prepare(tokenizer, data, **settings)
    kept = [*prepared.texts("train"), *prepared.texts("validation")]
    assert sorted(kept) == ["bad", "film", "good"]
