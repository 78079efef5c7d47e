"""Runs whose zeros are left out on the disk, and what they say of the work that is gone."""

import json

import pytest

from prunus.errors import PrunusError
from prunus.measure.size import bytes
from prunus.recipe import read
from prunus.report import html
from prunus.report._zeros import work
from tests.recipes.test_gradual import QUICK, TRAINED

BLOCKS = (*TRAINED, "sites={grid: 8x8, match: '.*(attention|intermediate|output).*'}")


def test_blocks_are_left_out_on_the_disk(at, tmp_path):
    report = at(*BLOCKS, "budget={density: .2}", "packed=true")
    assert report.equivalence.reloaded_vs_shrunk == 0
    config = json.loads((tmp_path / "out/model/config.json").read_text())
    assert {tuple(own["block"]) for own in config["prunus"]["packed"].values()} >= {(8, 8)}
    nonzero = sum(own.nonzero for own in report.zeros.layers)
    dead = report.params.pruned - sum(own.of for own in report.zeros.layers)
    assert bytes(tmp_path / "out/model") < 4 * (nonzero + dead) + 8192 < report.bytes.pruned


def test_the_work_that_is_gone_and_the_work_on_zeros(at, tmp_path):
    report = at(*BLOCKS, "budget={density: .2}")
    spent = {own.name: own.of - own.nonzero for own in report.zeros.layers if own.pruned}
    length = report.flops.length
    least = 2 * length * sum(n for name, n in spent.items() if "layer" in name)
    assert report.zeros.work == pytest.approx(least / report.flops.pruned, rel=0.05)
    assert work(report.flops, report.zeros.work) in html(report).replace("&#39;", "'")
    layers = [own for own in report.zeros.layers if own.block == (8, 8)]
    assert layers
    assert all(own.nonzero <= 64 * own.live for own in layers)


def test_nothing_to_pack_is_told(at, tmp_path):
    report = at(*QUICK, "packed=true")
    assert report.zeros is None
    config = json.loads((tmp_path / "out/model/config.json").read_text())
    assert "packed" not in config["prunus"]
    assert (
        "no weight holds zeros whose place could be saved" in (tmp_path / "out/run.log").read_text()
    )


def test_packed_is_not_portable(place):
    with pytest.raises(PrunusError, match="a packed checkpoint is not portable"):
        read(place / "recipe.yaml", ["packed=true", "portable=true"])
