"""What report.json holds of single classes and examples, which the mean hides."""

from typing import Self

from pydantic import Field, model_validator

from prunus.errors import PrunusError
from prunus.report._value import Count, Number
from prunus.report._value import Value as _Value


class Both(_Value):
    """A number of the dense and of the pruned model, in percent."""

    dense: Number
    pruned: Number


class Recall(Both):
    """Of ``n`` examples of a class, the share that is found."""

    n: Count


class Calibration(Both):
    """The expected calibration error, by ``bins`` of equal width."""

    bins: Count


class Answer(_Value):
    """What a model said.

    Attributes:
        text: the answer: a class, a number, or a text.
        confidence: the probability that the model gave to the class.
        score: of the text, from 0 to 1, see ``Detail.scored_by``.
    """

    text: str
    confidence: Number = None
    score: Number = None


class Change(_Value):
    """An example that both models answer differently: its texts, what is right, what they said."""

    texts: tuple[str, ...]
    right: str
    dense: Answer
    pruned: Answer


class Changes(_Value):
    """How many examples changed in one way, and those of them that say most."""

    n: Count
    examples: tuple[Change, ...] = ()


class Detail(_Value):
    """What the mean hides; what a task does not have is left empty.

    Attributes:
        calibration_error: how far confidence is from accuracy.
        recall: of each class.
        worst_class: the class that the pruned model finds least often.
        changes: by kind: ``right_to_wrong``, ``wrong_to_right``, ``wrong_otherwise``; of numbers
            ``largest_change``; of translations ``worse`` and ``better``.
        scored_by: what the scores of answers that are texts are called.
    """

    calibration_error: Calibration | None = None
    recall: dict[str, Recall] = Field(default_factory=dict)
    worst_class: str | None = None
    changes: dict[str, Changes] = Field(default_factory=dict)
    scored_by: str = "F1"

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.worst_class is not None and self.worst_class not in self.recall:
            raise PrunusError(f"worst_class: {self.worst_class!r} is no class with a recall")
        return self
