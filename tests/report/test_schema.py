import json
import math

import pytest
from pydantic import ValidationError

from prunus.report import Report
from tests.report.sample import sample


def test_what_is_written_is_what_is_read():
    report = sample()
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_promised_keys_are_there():
    data = json.loads(sample().model_dump_json())
    assert data["flops"]["per"] == "sequence"
    assert data["kept"]["encoder.layer.0:heads"] == [7, 12]
    assert {"load", "score", "select", "recover", "shrink", "evaluate", "total"} <= set(
        data["seconds"]
    )
    assert {"runtime", "batch", "length", "threads", "dense", "pruned", "speedup", "ideal"} <= set(
        data["latency_ms"][0]
    )


def test_other_keys_are_welcome_at_the_top_and_nowhere_else():
    assert json.loads(sample(plan="abc").model_dump_json())["plan"] == "abc"
    with pytest.raises(ValidationError, match="densee"):
        sample(params={"densee": 1, "dense": 1, "pruned": 1})


def test_a_dense_model_has_something():
    with pytest.raises(ValidationError, match=r"flops.dense\s+Input should be greater than 0"):
        sample(flops={"dense": 0, "pruned": 0})


def test_a_number_that_is_none_becomes_null():
    quality = sample().quality.model_dump() | {"pruned": math.nan}
    assert json.loads(sample(quality=quality).model_dump_json())["quality"]["pruned"] is None


def test_a_report_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        sample().seed = 1
