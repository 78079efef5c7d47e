"""What the report says of a touch-up."""

from prunus.report._value import Count, Number, Value


class TouchUp(Value):
    """What training the pruned model towards the dense one's answers gave back, paired by example.

    Attributes:
        name: the part of the recipe that trained it.
        learnt: what of the model, in words.
        before: the metric's value before it, in percent; ``quality.pruned`` is after it.
        gained: by how many points the metric rose.
        margin: half the width of the 95 % interval of ``gained``.
        minutes: by the clock on the wall.
        steps: batches learnt from, one after another.
        loss: at the end: the mean of the last tenth of the steps, a sample.
        split: of the task's data, without labels.
        samples: how many there are.
    """

    name: str
    learnt: str
    before: Number
    gained: Number
    margin: Number
    minutes: float
    steps: Count
    loss: Number
    split: str
    samples: Count
