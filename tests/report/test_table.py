import io

import pytest
from rich.console import Console

from prunus.report import Report, html, table
from prunus.report import _units as show
from prunus.report._heat import Cell, heats
from prunus.report._rows import removed, rows
from tests.report.sample import sample


def test_the_terminal_shows_the_same_rows():
    console = Console(file=io.StringIO(), width=160)
    console.print(table(sample()))
    text = console.file.getvalue()
    for row in rows(sample()):
        assert row.label in text
        assert row.pruned in text
    assert "73.85 ± 0.98" in text
    assert "majority 43.25" in text


def test_markup_in_a_name_is_not_obeyed():
    console = Console(file=io.StringIO(), width=160)
    console.print(table(sample(model="[red]x[/nonsense]")))
    assert "[red]x[/nonsense]" in console.file.getvalue()


def test_amounts_are_said_both_ways_round():
    assert removed(sample()) == (
        "50.0 % of the model's FLOPs removed: density 0.500 of the model, 0.472 of what can be cut"
    )


def test_a_noisy_latency_says_so():
    entry = sample().latency_ms[0].model_dump() | {"noisy": True}
    assert any("noisy" in row.remark for row in rows(sample(latency_ms=[entry])))


def test_what_a_budget_of_latency_counted_on_stands_beside_what_was_measured():
    entry = sample().latency_ms[0].model_dump() | {"predicted": {"dense": 48.0, "pruned": 24.0}}
    report = sample(latency_ms=[entry])
    row = next(row for row in rows(report) if row.label == "predicted time")
    assert (row.dense, row.pruned, row.change) == ("48.0 ms", "24.0 ms", "2.00×")
    assert row.remark == "measured: 106 % of the predicted time"
    assert "batch 8, predicted 2.00×" in html(report)
    assert not any(row.label == "predicted time" for row in rows(sample()))
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_touch_up_has_its_row():
    row = next(row for row in rows(sample()) if row.label == "touch-up")
    assert row.note == "finetune (biases and norms), on 67,349 samples of train, without labels"
    assert (row.dense, row.pruned, row.change) == ("", "71.35 before", "+2.50 ± 0.81 points")
    assert row.remark == "772 steps in 2 min 00 s, final loss 0.041"
    assert row.note in html(sample())
    assert row.remark in html(sample())


def test_sites_find_their_row_and_column():
    kept = {
        "encoder.block.0:heads": (1, 8),
        "decoder.block.0:heads": (2, 8),
        "decoder.block.10.cross:heads": (3, 4),
        "layers.2:neurons": (5, 6),
        "stream:channels": (7, 8),
        "decoder.block.0.cross.attention:sublayers": (1, 1),
    }
    found = {heat.title: heat for heat in heats(kept)}
    assert list(found) == ["encoder.block", "decoder.block", "layers", "stream"]
    assert found["decoder.block"].rows["10"]["cross heads"].kept == 3
    assert found["layers"].rows["2"]["neurons"].kept == 5
    assert found["stream"].rows[""]["channels"].kept == 7
    assert found["decoder.block"].whole("heads") == 8
    assert "cross.attention sublayers" in found["decoder.block"].columns


@pytest.mark.parametrize(("kept", "level"), [(0, 0), (1, 1), (500, 5), (999, 9), (1000, 10)])
def test_only_nothing_and_everything_get_the_ends_of_the_scale(kept, level):
    assert Cell("x", kept, 1000).level == level


def test_numbers_as_people_read_them():
    assert show.scaled(22_714_755) == "22.7 M"
    assert show.scaled(999_999) == "1.00 M"
    assert show.scaled(12) == "12"
    assert show.scaled(90_868_376, "B") == "90.9 MB"
    assert show.duration(99.8) == "1 min 40 s"
    assert show.duration(59.7) == "1 min 00 s"
    assert show.duration(7500) == "2 h 05 min"
    assert show.small(4.1e-7) == "4.1×10⁻⁷"
    assert show.small(0.0) == "0"
    assert show.small(0.31) == "0.31"
    assert show.signed(-1.3) == "\N{MINUS SIGN}1.30"
