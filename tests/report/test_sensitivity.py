"""The pictures and the page of a table of sensitivities."""

import base64
import hashlib
import re

from prunus.report import html, sensitivity_page, sensitivity_table
from prunus.report._sensitivity import decisive, maps, pictures, ranked, told
from prunus.sensitivity import Measurement, Sensitivity, SiteCurve
from tests.report.sample import sample


def point(units, of, loss, *asked, quality=None):
    return Measurement(
        units=units, density=units / of, loss=loss, stderr=loss / 10, quality=quality, asked=asked
    )


def table(**others):
    curves = [
        SiteCurve(site=f"encoder.layer.{n}:heads", kind="heads", units=4, points=(
            point(3, 4, 0.01 * (n + 1), 0.9, 0.75), point(2, 4, 0.1 * n + 0.15, 0.5),
            *([point(0, 4, 0.0, 0.0)] if n else []),
        ))
        for n in range(6)
    ]  # fmt: skip
    curves.append(SiteCurve(site="encoder.layer.0:sublayers", kind="sublayers", units=1, points=(
        point(0, 1, 0.3, 0.9, 0.75, 0.5, 0.0, quality=80.0),
    )))  # fmt: skip
    curves.append(SiteCurve(site="stream:channels", kind="channels", units=8))
    return Sensitivity(
        model="m", weights="", task="t", score={"name": "obs"}, split="development", samples=1000,
        seconds=61.0, complete=False, sites=tuple(curves), **others,
    )  # fmt: skip


def test_sites_are_ranked_where_most_were_measured():
    assert decisive(table()) == 0.5
    ranks = {row.curve.site: row.rank for row in ranked(table())}
    assert ranks["encoder.layer.5:heads"] == 1
    assert ranks["encoder.layer.0:heads"] == 7
    assert ranks["encoder.layer.0:sublayers"] == 5
    assert ranks["stream:channels"] is None


def test_a_kind_is_a_picture_with_its_most_sensitive_sites_in_colour():
    (heads,) = pictures(table())
    assert {key.text for key in heads.keys} == {f"encoder.layer.{n}:heads" for n in (2, 3, 4, 5)}
    assert sum("faint" in line.style for line in heads.lines) == 2
    for line in heads.lines:
        for x, y in (map(float, at.split(",")) for at in line.points.split()):
            assert heads.box.left <= x <= heads.box.end
            assert heads.box.top - 1 <= y <= heads.box.floor + 1


def test_maps_have_a_row_a_layer_and_are_darker_where_more_is_lost():
    heads, sublayers, stream = maps(table())
    assert heads.title == "encoder.layer: heads"
    assert list(heads.rows) == list("012345")
    first, last = heads.rows["0"], heads.rows["5"]
    assert [cell and cell.text for cell in first] == ["0.01", "0.01", "0.15", None]
    assert last[2].level == 10
    assert last[3].level == 0
    assert first[0].level < first[2].level < last[2].level
    assert [cell.text for cell in sublayers.rows["0"]] == ["0.3"] * 4
    assert set(stream.rows[""]) == {None}


def test_the_page_allows_its_one_script_and_asks_for_nothing():
    text = sensitivity_page(table(metric="accuracy", dense=90.0))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = re.search(r"script-src 'sha256-([^']+)'", text)[1]
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()
    assert not re.search(r"(src|href)=|url\(|https?:", text)
    assert (
        "the dense model&#39;s accuracy there is 90.00" in text or "accuracy there is 90.00" in text
    )
    assert "80.00" in text
    assert "None" not in text


def test_what_comes_from_a_model_is_escaped():
    bad = "<img src=x onerror=alert(1)>"
    found = table().model_copy(update={"model": bad, "split": bad, "score": {"name": bad}})
    assert "<img" not in sensitivity_page(found)


def test_what_is_told():
    assert "19 measurements" not in told(table())
    assert "18 measurements of 8 sites in 1 min 01 s; time was up" in told(table())
    assert "time was up" not in told(table().model_copy(update={"complete": True}))
    assert [column.header for column in sensitivity_table(table()).columns] == [
        "site", "rank", "90 %", "75 %", "50 %", "0 %",
    ]  # fmt: skip


def test_a_single_number_everywhere():
    curve = SiteCurve(site="a:neurons", kind="neurons", units=2, points=(point(1, 2, 0.0, 0.5),))
    found = table().model_copy(update={"sites": (curve,)})
    assert pictures(found) == []
    assert maps(found)[0].rows[""][0].level == 10
    assert "a:neurons" in sensitivity_page(found)


def test_the_report_of_a_run_shows_what_was_measured_first():
    text = html(sample(sensitivity=table()))
    assert "How sensitive each site is" in text
    assert text.count("encoder.layer: heads") == 1
    assert "How sensitive" not in html(sample())
