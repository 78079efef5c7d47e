"""How much faster the pruned model runs: both models timed in turns, in one process and runtime."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.measure._clock import Call, clock_of, evaluating
from prunus.measure._others import Others
from prunus.probe._device import device_of
from prunus.probe._device import threads as using

NOISY = 0.1


@dataclass(frozen=True)
class Timing:
    """Both models by one clock.

    Attributes:
        dense: median milliseconds of one call of the dense model.
        pruned: the same of the pruned model.
        speedup: median over the pairs of dense time / pruned time.
        speedup_iqr: lower and upper quartile of the same ratios.
    """

    dense: float
    pruned: float
    speedup: float
    speedup_iqr: tuple[float, float]


@dataclass(frozen=True)
class Latency:
    """Paired latency; the first four values are by ``clock``, see :class:`Timing`.

    Attributes:
        clock: ``cpu`` (seconds of computing, all threads added up: what a busy machine disturbs
            least), or ``wall`` for models on an accelerator, where the processor only waits.
        wall: the same four values by the clock on the wall.
        threads: how many threads torch computed with.
        pairs: how many pairs were timed.
        noisy: the quartiles of the ratio lie more than a tenth of it apart: measure again.
        others: how many cores other processes kept busy meanwhile, on average.
    """

    dense: float
    pruned: float
    speedup: float
    speedup_iqr: tuple[float, float]
    clock: str
    wall: Timing
    threads: int
    pairs: int
    noisy: bool
    others: float


def latency(
    dense: nn.Module,
    pruned: nn.Module,
    batch: Mapping[str, Tensor] | Tensor,
    *,
    threads: int | None = None,
    pairs: int = 15,
    min_seconds: float = 0.05,
    step: Callable[[int, int], None] = lambda *_: None,
) -> Latency:
    """Time two models in turns on the same batch.

    Each pair times both models, one right after the other and every second pair in the other
    order, so that whatever slows the machine down slows both: ratio = median over the pairs of
    dense / pruned. Both models run in eval and inference mode and are left in the mode they had.

    Args:
        dense: the model before.
        pruned: the model after, on the same device.
        batch: keyword arguments of the forward call, or its one positional argument.
        threads: how many threads torch may use; as it is set now when None.
        pairs: how many pairs to time.
        min_seconds: a model is called in a row until this long has passed, and the mean counts.
        step: told of progress between the pairs: (done, of).

    Raises:
        PrunusError: ``pairs`` or ``threads`` is below 1.
    """
    for name, value in (("pairs", pairs), ("threads", threads)):
        if value is not None and value < 1:
            raise PrunusError(f"latency: {name} must be at least 1, got {value}")
    with using(threads) as used, evaluating(dense), evaluating(pruned):
        runs = [Call(_call(m, batch), device_of(m), min_seconds) for m in (dense, pruned)]
        with Others() as others:
            times = torch.tensor(list(_pairs(runs, pairs, step)), dtype=torch.float64)
    cpu, wall = _timing(times[..., 0]), _timing(times[..., 1])
    clock = clock_of(device_of(dense))
    main = cpu if clock == "cpu" else wall
    low, high = main.speedup_iqr
    noisy = high - low > NOISY * main.speedup
    return Latency(
        **vars(main), clock=clock, wall=wall, threads=used, pairs=pairs, noisy=noisy,
        others=others.cores,
    )  # fmt: skip


def _call(model: nn.Module, batch: Mapping[str, Tensor] | Tensor) -> Callable[[], Any]:
    return (lambda: model(**batch)) if isinstance(batch, Mapping) else (lambda: model(batch))


def _pairs(
    runs: list[Call], pairs: int, step: Callable[[int, int], None]
) -> Iterator[list[tuple[float, float]]]:
    for index in range(pairs):
        step(index, pairs)
        yield _pair(runs, index)
    step(pairs, pairs)


def _pair(runs: list[Call], index: int) -> list[tuple[float, float]]:
    """Dense and pruned times, the pruned model going first in every second pair."""
    if index % 2:
        return [run.time() for run in reversed(runs)][::-1]
    return [run.time() for run in runs]


def _timing(times: Tensor) -> Timing:
    """Medians and quartiles of [pairs, (dense, pruned)] milliseconds."""
    dense, pruned = times.quantile(0.5, dim=0).tolist()
    ratios = times[:, 0] / times[:, 1].clamp_min(1e-9)
    low, middle, high = ratios.quantile(ratios.new_tensor([0.25, 0.5, 0.75])).tolist()
    return Timing(dense, pruned, middle, (low, high))
