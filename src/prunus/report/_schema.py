"""What report.json holds. Every number of the other forms of the report comes from here."""

from pydantic import ConfigDict, Field, JsonValue, PositiveInt

from prunus.formats import Format
from prunus.report._detailed import Detail
from prunus.report._exported import Export
from prunus.report._history import History
from prunus.report._library import Library
from prunus.report._searched import Frontier
from prunus.report._timed import Latency as Latency
from prunus.report._timed import Predicted as Predicted
from prunus.report._timed import Timing as Timing
from prunus.report._touched import TouchUp
from prunus.report._value import Count, Number, Some
from prunus.report._value import Value as _Value
from prunus.report._zeroed import Zeros
from prunus.sensitivity import Sensitivity

FORMAT = Format("report", unsaid=1)


class Quality(_Value):
    """How well both models do the task.

    Attributes:
        metric: what ``dense``, ``pruned`` and ``baselines`` are values of, all in percent.
        dense: the dense model's value.
        pruned: the pruned model's value, as reloaded from its checkpoint.
        stderr: standard error of ``pruned``.
        margin: half the width of the 95 % interval of ``pruned - dense``, paired by example.
        n: how many examples were asked.
        agreement: fraction of examples that both models answer alike (a correlation for numbers).
        baselines: what can be had without the model, such as the majority class, by name.
        signature: how the values were counted, where that has a name.
    """

    metric: str
    dense: Number
    pruned: Number
    stderr: Number
    margin: Number = None
    n: Count
    agreement: Number = None
    baselines: dict[str, Number] = Field(default_factory=dict)
    signature: str | None = None


class Pair(_Value):
    """A whole number, of the dense and of the pruned model."""

    dense: Some
    pruned: Count


class Vocabulary(_Value):
    """Tokens that went from embeddings, output layers and tokenizer.

    Attributes:
        tokens: how many there were, and are.
        bytes: of all that has a row for each token, before and after.
        seen: the splits that were looked at: what they use stayed.
        split: where ``changed`` and ``unknown`` were counted.
        changed: of the tokens that its texts had, the share that went: what they stood for is now
            split otherwise, or unknown.
        unknown: by how much the share of unknown tokens rose.
    """

    tokens: Pair
    bytes: Pair
    seen: tuple[str, ...]
    split: str
    changed: float
    unknown: float


class Padded(Pair):
    """FLOPs of one sequence that is padded to ``length`` tokens."""

    length: float


class Flops(Pair):
    """Floating point operations of one sequence of the data's mean length, in tokens.

    What has no tokens, such as an image, has no length, and is never padded.
    """

    per: str = "sequence"
    length: float | None = None
    padded: Padded | None = None


class Baseline(_Value):
    """What could have been done instead of pruning so, measured on the same examples.

    Attributes:
        name: ``random``, ``narrower``, ``shallower``, ``bfloat16`` or ``int8``.
        made: how it was made, in words; where it could not be, why, and there are no numbers.
        quality: the metric's value, in percent.
        stderr: its standard error.
        ahead: by how many points the pruned model is ahead.
        margin: half the width of the 95 % interval of ``ahead``, which is paired by example.
        params: parameters.
        flops: of one sequence of the data's mean length; a narrower number format saves none.
        bytes: of the weights in memory.
        latency_ms: paired with the dense model, which stands under ``dense``; this one stands
            under ``pruned``.
    """

    name: str
    made: str
    quality: Number = None
    stderr: Number = None
    ahead: Number = None
    margin: Number = None
    params: Count | None = None
    flops: Count | None = None
    bytes: Count | None = None
    latency_ms: tuple[Latency, ...] = ()


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

    format: int = FORMAT.version
    recipe: dict[str, JsonValue]
    model: str
    task: str
    quality: Quality
    detail: Detail | None = None
    touch_up: TouchUp | None = None
    compared: tuple[Baseline, ...] = ()
    frontier: Frontier | None = None
    sensitivity: Sensitivity | None = None
    histories: tuple[History, ...] = ()
    library: Library | None = None
    density: Density
    zeros: Zeros | None = None
    params: Pair
    trained: Count | None = None
    flops: Flops
    bytes: Pair
    vocabulary: Vocabulary | None = None
    latency_ms: tuple[Latency, ...] = ()
    untimed: dict[str, str] = Field(default_factory=dict)
    exports: tuple[Export, ...] = ()
    equivalence: Equivalence
    kept: dict[str, tuple[Count, PositiveInt]]
    seconds: Seconds
    peak_memory_bytes: Count
    seed: int
    versions: dict[str, str]
    hardware: dict[str, JsonValue]
