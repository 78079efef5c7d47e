"""Pruned models of every family, their inputs, and exports of them that tests share."""

from functools import cache
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.checkpoint import load, save
from prunus.edit import shrink
from prunus.export import _trace, _write, export
from prunus.plan import Plan
from prunus.registry import build
from tests.contract.draw import KINDS, random_plan
from tests.tiny import batch_of, tiny

EXPORTERS = ("onnx", "openvino", "pt2")
SIZES = ((3, 7), (2, 11))
"""Samples and tokens of the batches that an export is compared on."""
OTHERS = ((1, 5), (4, 9))
"""Of batches that the exporter has not seen."""


@cache
def pruned(family, cls=None):
    """A model from the disk whose layers have lost different heads, neurons and sublayers."""
    model = tiny(family, cls)
    sites = anatomy(model)
    plan = random_plan(sites.of(*{s.kind for s in sites.values()}.intersection(KINDS)), 4)
    with TemporaryDirectory() as folder:
        save(shrink(model, Plan(plan)), folder)
        return load(folder)


def inputs(model, size, length):
    """A batch without labels; a model that translates gets tokens for its decoder."""
    batch = batch_of(model, size, length, seed=size)
    batch.pop("labels", None)
    if model.config.is_encoder_decoder and "decoder_input_ids" not in batch:
        batch["decoder_input_ids"] = batch["input_ids"].roll(1, 1)[:, : length - 2].contiguous()
    return batch


def exported(model, folder, to, **settings):
    """Export a model, compared on two batches."""
    batches = [inputs(model, *size) for size in SIZES]
    return export(model, folder, build("export", {"name": to, **settings}), batches)


def farthest(right, said):
    """The largest difference, relative to the largest answer."""
    apart = [
        (said[name].float() - own).abs().max() / own.abs().max()
        for name, own in right.items()
        if isinstance(own, torch.Tensor) and name != "loss"
    ]
    return float(torch.stack(apart).max())  # Python's max would pass over what is no number


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Gives the folder of a model's export, made once; exporters share what was traced."""
    place, traced = tmp_path_factory.mktemp("exports"), {}

    @cache
    def shelf(family, to, cls=None):
        def trace(graph):
            key = family, cls, graph.name
            if key not in traced:
                traced[key] = _trace.trace(graph)
            return traced[key]

        folder = place / to / f"{family}-{cls}"
        with patch.object(_write, "trace", trace):
            exported(pruned(family, cls), folder, to)
        return folder

    return shelf
