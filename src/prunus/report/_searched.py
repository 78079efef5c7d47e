"""How a search for a density went, as report.json holds it."""

from prunus.report._value import Count, Number, Value


class Step(Value):
    """One density that a search tried.

    Attributes:
        density: in the terms of the budget.
        of_model: the fraction of the whole model's cost that stays, in the budget's metric.
        flops: of one sequence of the data's mean length.
        params: parameters.
        quality: the metric's value where the search measured, in percent.
        ahead: by how many points that is ahead of the dense model.
        margin: half the width of the 95 % interval of ``ahead``, which is paired by example.
        met: whether the loss was small enough.
    """

    density: float
    of_model: float
    flops: Count
    params: Count
    quality: Number
    ahead: Number
    margin: Number
    met: bool


class Frontier(Value):
    """How a search found how far the model can be pruned.

    Attributes:
        max_loss: how many points could be lost.
        split: where the search measured.
        n: of how many examples.
        named: whether the recipe says which; if not, they were drawn from the training split.
        dense: the dense model's value there, in percent.
        steps: everything that was tried, in order.
        chosen: the density of this report's model.
        held: the split on which this report measures, seen once, at the end.
        ahead: by how many points the chosen model is ahead of the dense one there.
        margin: half the width of the 95 % interval of ``ahead``, which is paired by example.
    """

    max_loss: float
    split: str
    n: Count
    named: bool
    dense: Number
    steps: tuple[Step, ...]
    chosen: float
    held: str
    ahead: Number
    margin: Number
