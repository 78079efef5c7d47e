"""What a recipe says of tokens, data and measurements."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from prunus.errors import unknown
from prunus.registry import Many, Part, names

EAGER = "torch-eager"
COMPILED = "torch-compile"
SPARSE = "torch-sparse"
Split = Literal["train", "calibration", "development", "validation"]


def runtimes() -> list[str]:
    """Everything that runs models: torch in its ways, and what exporters write for."""
    return [EAGER, COMPILED, SPARSE, *names("export")]


def known(name: str) -> str:
    """The same name.

    Raises:
        PrunusError: nothing that runs models is called so.
    """
    if name not in runtimes():
        raise unknown("runtime", name, runtimes())
    return name


class Vocabulary(Part):
    """Which tokens stay in embeddings, output layers and tokenizer.

    Attributes:
        keep: ``seen`` are those that the data uses, and those that any other text needs.
        splits: the task's splits that are looked at, those that it has.
        min_count: how often a token must be seen there; a row of two splits counts twice.
    """

    keep: Literal["seen"] = "seen"
    splits: Annotated[Many[Split], Field(min_length=1)] = ("train", "calibration")
    min_count: PositiveInt = 1


class Save(Part):
    """How often a run writes safe points, from which it goes on when it was cut off.

    Attributes:
        minutes: of work that is lost at most; 0 writes whatever was found at once.
    """

    minutes: NonNegativeFloat = 5.0


class Calibration(Part):
    """The data that scores and repairs see.

    Attributes:
        samples: examples taken from the split, fewer where it has fewer.
        batch_size: examples in a batch; some criteria (knowledge) depend on it.
        split: the task's split.
        order: ``length`` puts examples of like lengths into one batch, so that little is padded;
            ``equal`` those of equal lengths, so that nothing is; ``drawn`` leaves them as drawn.
        scored: the fraction of the batches that scores are made of; repairs see all of them.
        precision: what the models compute in while they are looked at.
        memory: MiB that may wait in memory while a repair goes through the model; the rest waits in
            files of the run's folder.
    """

    samples: PositiveInt = 512
    batch_size: PositiveInt = 32
    split: str = "calibration"
    order: Literal["length", "equal", "drawn"] = "length"
    scored: Annotated[float, Field(gt=0, le=1)] = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    memory: PositiveInt = 1024


class Evaluation(Part):
    """How quality is measured.

    Attributes:
        split: the task's split.
        batch_size: examples in a batch.
        baselines: also measure the majority class and a bag of words, where there is a training
            split to learn them from.
        examples: how many examples of each kind of change the report lists, with their texts.
    """

    split: str = "validation"
    batch_size: PositiveInt = 32
    baselines: bool = True
    examples: NonNegativeInt = 20


class Latency(Part):
    """How latency is measured.

    Attributes:
        batch: sequences in a call; one measurement each.
        length: tokens of each sequence; None is the length at which the task cuts texts off.
        threads: how many threads a runtime computes with.
        pairs: how many pairs of runs are timed.
        runtime: what runs the models, see :func:`runtimes`; the first one's time is the one that is
            shown where there is room for one.
    """

    batch: Many[PositiveInt] = (1, 8)
    length: PositiveInt | None = None
    threads: PositiveInt = 1
    pairs: PositiveInt = 15
    runtime: Annotated[Many[Annotated[str, AfterValidator(known)]], Field(min_length=1)] = (EAGER,)
