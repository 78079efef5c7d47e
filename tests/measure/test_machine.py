import json

import pytest
import torch

from prunus.measure.hardware import hardware, versions
from prunus.measure.memory import peak_memory


def test_the_machine_is_described_in_plain_values():
    facts = hardware()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpu"]
    assert facts["memory_bytes"] > 1e8
    assert facts["threads"] == torch.get_num_threads()


def test_versions_come_from_what_is_installed():
    found = versions()
    assert found["torch"] == torch.__version__
    assert {"python", "transformers"} <= set(found)


def test_a_peak_is_seen_after_it_has_gone():
    size = 200_000_000
    with peak_memory(every=0.002) as peak:
        block = torch.ones(size // 4)
        block.add_(1)
        torch.ones(size // 4).sum()
        del block
    assert peak.grown > 0.9 * size
    assert peak.bytes > peak.start


def test_the_watch_ends_with_a_failure():
    with pytest.raises(KeyError), peak_memory() as peak:
        raise KeyError("x")
    assert peak.bytes > 0
