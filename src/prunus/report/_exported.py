"""What the report says of a run's exports, as report.json holds it."""

from prunus.report._value import Count, Number, Value


class Export(Value):
    """The saved model as graphs of another runtime.

    Attributes:
        to: the exporter.
        dtype: what it computes in.
        folder: where it lies in the run.
        difference: the largest difference to an answer of torch, over the largest answer.
        samples: on how many examples that was measured.
        quality: the metric's value, in percent, on the split that the report is about.
        ahead: by how many points that is ahead of the pruned model in torch.
        margin: half the width of the 95 % interval of ``ahead``, which is paired by example.
        bytes: of the graphs' files, weights included.
        why: nothing was kept because of this, and there are no numbers.
    """

    to: str
    dtype: str
    folder: str
    difference: Number = None
    samples: Count | None = None
    quality: Number = None
    ahead: Number = None
    margin: Number = None
    bytes: Count | None = None
    why: str | None = None
