from dataclasses import asdict

import pytest
import torch
from torch import nn

from prunus.errors import PrunusError
from prunus.measure import latency as module
from prunus.measure.latency import latency
from prunus.report._schema import Latency as Entry


class Wide(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 64))
        self.seen: list[tuple[bool, bool, int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(
            (self.training, torch.is_inference_mode_enabled(), torch.get_num_threads())
        )
        return self.body(x)


def quick(dense: nn.Module, pruned: nn.Module, **settings):
    batch = {"x": torch.randn(64, 64)}
    return latency(dense, pruned, batch, **({"pairs": 5, "min_seconds": 0.005} | settings))


def test_the_smaller_model_is_faster():
    found = quick(Wide(4096), Wide(256), threads=1)
    assert found.speedup > 3
    assert found.wall.speedup > 2
    assert found.dense > found.pruned > 0
    assert found.speedup_iqr[0] <= found.speedup <= found.speedup_iqr[1]
    assert (found.clock, found.threads, found.pairs) == ("cpu", 1, 5)


def test_a_model_is_as_fast_as_itself():
    model = Wide(1024)
    assert quick(model, model, threads=1).speedup == pytest.approx(1, abs=0.3)


def test_models_are_left_as_they_were():
    dense, pruned = Wide(8).train(), Wide(8).eval()
    dense.body[0].eval()
    threads = torch.get_num_threads()
    quick(dense, pruned, threads=1)
    assert dense.training
    assert not dense.body[0].training
    assert not pruned.training
    assert torch.get_num_threads() == threads
    assert set(dense.seen) == {(False, True, 1)}


def test_threads_and_mode_come_back_after_a_failure():
    threads = torch.get_num_threads()
    model = Wide(8).train()
    with pytest.raises(RuntimeError):
        latency(model, model, torch.randn(2, 3), threads=1)
    assert model.training
    assert torch.get_num_threads() == threads


def test_the_order_of_the_pair_alternates(monkeypatch):
    order: list[str] = []

    class Run:
        def __init__(self, name: str) -> None:
            self.name = name

        def time(self) -> tuple[float, float]:
            order.append(self.name)
            return (1.0, 1.0) if self.name == "dense" else (2.0, 2.0)

    runs = [Run("dense"), Run("pruned")]
    times = [module._pair(runs, index) for index in range(2)]
    assert order == ["dense", "pruned", "pruned", "dense"]
    assert times[0] == times[1] == [(1.0, 1.0), (2.0, 2.0)]


def test_medians_and_quartiles_of_paired_ratios():
    times = torch.tensor([[2.0, 1.0], [8.0, 2.0], [9.0, 3.0]], dtype=torch.float64)
    timing = module._timing(times)
    assert (timing.dense, timing.pruned, timing.speedup) == (8.0, 2.0, 3.0)
    assert timing.speedup_iqr == (2.5, 3.5)


def test_wide_quartiles_are_called_noisy(monkeypatch):
    times = iter([(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (3.0, 3.0)] * 2)
    monkeypatch.setattr(module, "Call", lambda *_: _Fixed(times))
    assert quick(Wide(8), Wide(8), pairs=4).noisy


class _Fixed:
    device = torch.device("cpu")

    def __init__(self, times) -> None:
        self.times = times

    def time(self) -> tuple[float, float]:
        return next(self.times)


@pytest.mark.parametrize("setting", [{"pairs": 0}, {"threads": 0}])
def test_amounts_below_one_are_refused(setting):
    with pytest.raises(PrunusError, match="at least 1, got 0"):
        quick(Wide(8), Wide(8), **setting)


def test_the_result_fits_into_the_report():
    found = quick(Wide(8), Wide(8), pairs=2)
    entry = Entry(runtime="torch-eager", batch=64, length=1, ideal=1.0, **asdict(found))
    assert entry.wall is not None
    assert entry.threads == found.threads
