import io
import json

from rich.console import Console

from prunus.report import Report, html, tables, zeros
from prunus.report._schema import Pair
from prunus.report._zeros import rows, told, work
from tests.report.sample import sample


def changed(**changes):
    return sample(zeros=sample().zeros.model_dump() | changes)


def test_a_report_without_zeros_reads_and_shows_none():
    old = json.loads(sample().model_dump_json())
    del old["zeros"]
    report = Report.model_validate(old)
    assert (report.zeros, zeros(report)) == (None, None)
    assert "Weights that are zero" not in html(report)
    assert len(tables(report)) == len(tables(sample())) - 1


def test_a_row_for_each_layer_with_zeros():
    name = "encoder.layer.0.attention.self.query"
    assert rows(sample().zeros) == [
        (name, ("384×384", "0.1000", "14.7 k", "15 of 144, 32×32")),
    ]


def test_the_sum_is_said_in_both_words():
    text = told(sample().zeros)
    assert "1 of 2 linear layers and convolutions hold zeros" in text
    assert "density of all of them is 0.1047, and 0.9900 of the embeddings" in text
    assert "As neural-compressor counts, 0.8953 are removed" in text
    assert "embeddings" not in told(changed(embeddings=[]).zeros)


def test_the_page_and_the_terminal_say_the_same():
    console = Console(file=io.StringIO(), width=400)
    console.print(*tables(sample()))
    for text in (html(sample()), console.file.getvalue()):
        assert told(sample().zeros) in " ".join(text.split())
        assert work(sample().flops, 0.54) in " ".join(text.split()).replace("&#39;", "'")
        for cell in rows(sample().zeros)[0][1]:
            assert cell in text


def test_a_name_is_escaped():
    evil = "<script>[red]"
    layers = sample().zeros.model_dump()["layers"]
    report = changed(layers=[layers[0] | {"name": evil}])
    assert "<script" not in html(report)
    console = Console(file=io.StringIO(), width=400)
    console.print(zeros(report))
    assert evil in console.file.getvalue()


def test_what_is_gone_and_what_is_only_zeros():
    flops = Pair(dense=1000, pruned=688)
    gone, zeros = "31.2 % of the dense model's FLOPs are gone", "54.0 % of those that are left"
    assert work(flops, 0.54) == f"{gone}; {zeros} multiply zeros"
    assert (work(flops, None), work(None, 0.54)) == (gone, "54.0 % of them multiply zeros")
    assert work(None, None) == ""


def test_blocks_of_single_weights_are_none():
    one = sample().zeros.layers[0].model_copy(update={"block": (1, 1), "live": 14_745})
    found = sample().zeros.model_copy(update={"layers": (one,)})
    assert rows(found)[0][1][-1] == "–"
