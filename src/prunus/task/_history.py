"""How losses fell while a model was trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """What was seen at one look during a training.

    Attributes:
        step: of the optimizer, how many lie behind.
        epoch: passes over the training split that lie behind.
        cpu: seconds of this process's processor time of the training so far, looks left out.
        seconds: by the clock on the wall, likewise.
        training: mean training loss of the steps since the last look; None before the first step.
        validation: the model's own loss on held-out examples, in nats.
        quality: the task's headline metric on them, in percent, where it was measured.
    """

    step: int
    epoch: float
    cpu: float
    seconds: float
    training: float | None
    validation: float
    quality: float | None = None


@dataclass(frozen=True)
class History:
    """A training, as it went.

    Attributes:
        name: what was trained.
        loss: mean training loss of all steps.
        points: the looks, in order; none where the training was not looked at.
        kept: the step whose weights the training left; None is the last one.
    """

    name: str
    loss: float
    points: tuple[Point, ...] = ()
    kept: int | None = None
