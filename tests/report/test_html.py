import re
from html.parser import HTMLParser

import pytest

from prunus.report import _html as page
from prunus.report import html
from tests.report.sample import sample

LOADS = re.compile(
    r"https?:|//\w|\b(src|href|srcset)\s*=|url\(|@import|<script|<link", re.IGNORECASE
)
VOID = {"meta", "br"}


class Nesting(HTMLParser):
    """Checks that every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_is_loaded_from_anywhere():
    assert not LOADS.search(html(sample()))


def test_the_page_is_well_formed():
    nesting = Nesting()
    nesting.feed(html(sample()))
    assert nesting.open == []


@pytest.mark.parametrize("field", ["model", "task", "recipe", "kept", "versions", "hardware"])
def test_whatever_comes_from_the_report_is_escaped(field):
    evil = "<script>alert('x')</script>\"><b onload=x>"
    value = {
        "recipe": {evil: [evil]},
        "kept": {f"encoder.layer.0.{evil}:{evil}": [1, 2], f"{evil}:heads": [1, 2]},
        "versions": {evil: evil},
        "hardware": {evil: evil},
    }.get(field, evil)
    text = html(sample(**{field: value}))
    assert "<script" not in text
    assert "<b onload" not in text
    assert "&lt;script&gt;" in text


def test_baseline_names_and_metrics_are_escaped():
    quality = sample().quality.model_dump() | {"metric": "<i>", "baselines": {"<u>": 1.0}}
    text = html(sample(quality=quality))
    assert "<i>" not in text
    assert "<u>" not in text


def test_both_themes_and_paper_are_served():
    text = html(sample())
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'name="viewport"' in text


def test_the_numbers_are_on_the_page():
    text = html(sample())
    for shown in ("73.85 ± 0.98", "91.2 %", "281 M", "770 M", "69.6 MB", "1.88×", "of the ideal"):
        assert shown in text
    for shown in ("bag of words", "50.0 % of the model", "least_squares", "1 min 40 s", "4.1×10⁻⁷"):
        assert shown in text


def test_a_report_with_little_in_it_still_makes_a_page():
    quality = {"metric": "pearson", "dense": None, "pruned": -3.0, "stderr": None, "n": 0}
    nothing = {"masked_vs_shrunk": None, "dense_vs_shrunk": None, "reloaded_vs_shrunk": None}
    report = sample(
        quality=quality, latency_ms=[], kept={}, seconds={}, equivalence=nothing, recipe={}
    )
    assert "What stayed" not in html(report)


def test_phases_leave_out_the_total_and_what_took_no_time():
    assert [bar.label for bar in page._phases(sample())] == ["load", "score", "latency"]


def _ramps(text: str) -> list[dict[str, str]]:
    """The colours of the light and of the dark theme, by name."""
    roots = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", root)) for root in roots]


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_every_text_can_be_read_in_both_themes(theme):
    colours = _ramps(html(sample()))[theme]
    pairs = [
        ("ink", "paper"),
        ("soft", "paper"),
        ("soft", "card"),
        ("soft", "k0"),
        ("plum", "paper"),
    ]
    pairs += [("ink" if level < 6 else "card", f"k{level}") for level in range(1, 11)]
    low = {pair: _contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert min(low.values()) >= 4.5, low


@pytest.mark.parametrize("theme", [0, 1])
def test_the_colour_scale_goes_one_way(theme):
    colours = _ramps(html(sample()))[theme]
    steps = [_luminance(colours[f"k{level}"]) for level in range(11)]
    assert steps in (sorted(steps), sorted(steps, reverse=True))
