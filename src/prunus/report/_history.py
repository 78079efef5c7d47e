"""How trainings went, as report.json holds it."""

from prunus.report._value import Count, Number, Value


class Point(Value):
    """One look at held-out examples during a training.

    Attributes:
        step: of the optimizer, how many lay behind.
        epoch: passes over the training split that lay behind.
        cpu: seconds of processor time of the training so far, looks left out.
        seconds: by the clock on the wall, likewise.
        training: mean training loss since the last look; none before the first step.
        validation: the model's own loss on the held-out examples, in nats.
        quality: the headline metric on them, in percent, where it was measured.
    """

    step: Count
    epoch: float
    cpu: float
    seconds: float
    training: Number = None
    validation: Number
    quality: Number = None


class History(Value):
    """One training.

    Attributes:
        name: what was trained: ``training``, or a drive's ``step 3``.
        loss: mean training loss of all steps.
        points: the looks, in order.
        kept: the step whose weights were kept; None is the last one.
    """

    name: str
    loss: Number = None
    points: tuple[Point, ...]
    kept: Count | None = None
