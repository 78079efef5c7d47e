"""Exports and several runtimes in a report: for people, in the terminal and on the card."""

import json

import pytest

from prunus.report import Report, html, tables
from prunus.report._card import Origin, card
from prunus.report._compared import lines as compared
from prunus.report._compared import timed
from prunus.report._console import exports
from prunus.report._exports import rows
from prunus.report._html import _tiles
from prunus.report._rows import headline
from prunus.report._rows import rows as all_rows
from prunus.report._units import MINUS
from tests.report.sample import sample

ORIGIN = Origin("import prunus")


def entry(runtime, speedup, **more):
    return sample().latency_ms[0].model_dump() | {"runtime": runtime, "speedup": speedup} | more


def test_a_row_for_each_export():
    first, second = rows(sample())
    assert first == ("openvino, int8", ("73.70", f"{MINUS}0.15 ± 0.40", "0.0021", "17.6 MB"))
    assert second == ("pt2, float32", ("not made: it cannot be traced", "", "", ""))


def test_page_terminal_and_card_say_the_same():
    page, text = html(sample()), card(sample(), ORIGIN)
    assert "openvino, int8" in page
    assert "not made: it cannot be traced" in page
    assert f"- openvino, int8: accuracy 73.70, {MINUS}0.15 ± 0.40 points" in text
    assert "traced" not in text
    made = exports(sample())
    assert made is not None
    assert made.row_count == 2


def test_a_report_without_exports_reads_and_shows_none():
    old = json.loads(sample().model_dump_json())
    del old["exports"], old["untimed"]
    report = Report.model_validate(old)
    assert (report.exports, report.untimed) == ((), {})
    assert "Exports" not in html(report)
    assert "Exports" not in card(report, ORIGIN)
    assert len(tables(report)) == len(tables(sample())) - 1


def test_a_runtime_that_could_not_run_says_why():
    (row,) = (own for own in all_rows(sample()) if own.label == "time")
    assert (row.note, row.change) == ("torch-compile", "not measured")
    assert row.remark == "no compiler for C++"


@pytest.mark.parametrize(("runtime", "speedup"), [(None, 3.0), ("onnx", 4.0), ("pt2", None)])
def test_the_last_time_of_the_first_runtime_speaks(runtime, speedup):
    report = sample(latency_ms=[entry("openvino", s) for s in (2.0, 3.0)] + [entry("onnx", 4.0)])
    found = headline(report.latency_ms, runtime)
    assert (found and found.speedup) == speedup
    assert headline(()) is None


def test_the_tile_tells_of_every_runtime():
    report = sample(latency_ms=[entry("openvino", 2.0), entry("openvino", 3.0), entry("onnx", 4.0)])
    tiles = [(own.value, own.note) for own in _tiles(report) if own.label == "speed"]
    assert tiles == [("3.00×", "openvino, CPU time, batch 8; onnx 4.00×")]


def test_baselines_stand_beside_times_of_their_own_runtime():
    report = sample(latency_ms=[entry("openvino", 9.0), entry("torch-eager", 2.0, batch=4)])
    pruned = compared(report)[-1]
    assert pruned.cells[-1] == "2.00×"
    assert "4 by" in timed(report)
    alone = sample(latency_ms=[entry("openvino", 9.0)])
    assert compared(alone)[-1].cells[-1] == "–"
