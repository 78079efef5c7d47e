"""A question answerer through the whole of prunus: trained, pruned, measured, opened again."""

import pytest
import yaml

from prunus.errors import PrunusError
from prunus.recipe import read
from prunus.recipe.checkpoints import evaluate
from prunus.recipe.run import run
from prunus.registry import build
from prunus.task import Training, train


def test_a_question_answerer_is_pruned_and_measured(pretrained, asked, tmp_path):
    task = {"name": "question_answering", "data": asked, "max_length": 14, "stride": 3}
    task |= {"max_question_length": 4, "splits": {"validation": 10, "calibration": 12}}
    settings = Training(max_steps=60, batch_size=4, learning_rate=0.01, evaluate=False)
    dense = train(pretrained, build("task", task), settings, tmp_path / "dense", quiet=True)
    said = {"model": str(dense), "task": task, "score": "fisher", "budget": {"density": 0.6}}
    said |= {"calibration": {"samples": 12, "batch_size": 4}, "recover": ["least_squares"]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(said))
    report = run(read(tmp_path / "recipe.yaml"), tmp_path / "out", quiet=True)
    quality = evaluate(str(tmp_path / "out"), task, "validation", 4, quiet=True)
    assert (report.quality.metric, report.quality.dense) == ("f1", 100)
    assert report.quality.pruned == quality.value
    assert report.metrics["exact_match"]["dense"] == 100
    assert list(report.quality.baselines) == ["nearest_sentence"]


def test_a_head_for_another_task_is_told(pretrained, reviews, asked, tmp_path):
    texts = build("task", {"name": "text_classification", "data": reviews})
    settings = Training(max_steps=1, evaluate=False)
    dense = train(pretrained, texts, settings, tmp_path / "dense", quiet=True)
    task = {"name": "question_answering", "data": asked}
    with pytest.raises(PrunusError, match=r"BertForSequenceC.* no head for the task.*ForQuestionA"):
        evaluate(str(dense), task, "train", 4, quiet=True)
