"""What report.json holds. Every number of the other forms of the report comes from here."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: what is not a number becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Count = Annotated[int, Field(ge=0)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quality(_Value):
    """How well both models do the task.

    Attributes:
        metric: what ``dense``, ``pruned`` and ``baselines`` are values of, all in percent.
        dense: the dense model's value.
        pruned: the pruned model's value, as reloaded from its checkpoint.
        stderr: standard error of ``pruned``.
        n: how many examples were asked.
        agreement: fraction of examples that both models answer alike (a correlation for numbers).
        baselines: what can be had without the model, such as the majority class, by name.
    """

    metric: str
    dense: Number
    pruned: Number
    stderr: Number
    n: Count
    agreement: Number = None
    baselines: dict[str, Number] = {}


class Pair(_Value):
    """A whole number, of the dense and of the pruned model."""

    dense: Count
    pruned: Count


class Padded(Pair):
    """FLOPs of one sequence that is padded to ``length`` tokens."""

    length: float


class Flops(Pair):
    """Floating point operations of one sequence of the data's mean length, in tokens."""

    per: str = "sequence"
    length: float
    padded: Padded | None = None


class Timing(_Value):
    """Milliseconds of one call; speedup = median of dense / pruned over pairs, with quartiles."""

    dense: float
    pruned: float
    speedup: float
    speedup_iqr: tuple[float, float]


class Predicted(_Value):
    """Milliseconds of one call by the table of this machine that the budget was counted with."""

    dense: float
    pruned: float

    @property
    def speedup(self) -> float:
        """Dense / pruned."""
        return self.dense / self.pruned


class Latency(Timing):
    """One paired measurement.

    Attributes:
        runtime: what ran the models, such as ``torch-eager``.
        batch: sequences in a call.
        length: tokens of each sequence.
        threads: how many threads the runtime used.
        ideal: the FLOPs ratio of the two models at this length: what no overhead would give.
        clock: what the first four values were taken with, ``cpu`` or ``wall``.
        wall: the same values by the clock on the wall.
        pairs: how many pairs were timed.
        noisy: the quartiles lie too far apart to trust the median.
        predicted: what a budget of latency counted on for this call.
    """

    runtime: str
    batch: Count
    length: float
    threads: Count
    ideal: float
    clock: str = "cpu"
    wall: Timing | None = None
    pairs: Count | None = None
    noisy: bool = False
    predicted: Predicted | None = None


class Equivalence(_Value):
    """Largest difference of the outputs relative to the largest output; the dense must differ."""

    masked_vs_shrunk: Number
    dense_vs_shrunk: Number
    reloaded_vs_shrunk: Number


class Seconds(_Value):
    """Wall-clock seconds of each phase; other phases may stand beside."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    load: float = 0.0
    score: float = 0.0
    select: float = 0.0
    recover: float = 0.0
    shrink: float = 0.0
    evaluate: float = 0.0
    total: float = 0.0


class Density(_Value):
    """The fraction that stays, by ``metric``: of what can be cut, and of the whole model."""

    metric: str
    of_sites: float
    of_model: float


class Report(_Value):
    """One run, measured: what was cut, what it cost, what it bought."""

    model_config = ConfigDict(extra="allow")

    recipe: dict[str, JsonValue]
    model: str
    task: str
    quality: Quality
    density: Density
    params: Pair
    flops: Flops
    bytes: Pair
    latency_ms: tuple[Latency, ...] = ()
    equivalence: Equivalence
    kept: dict[str, tuple[Count, Count]]
    seconds: Seconds
    peak_memory_bytes: Count
    seed: int
    versions: dict[str, str]
    hardware: dict[str, JsonValue]
