"""The teacher's answers (Hinton et al., arXiv 1503.02531)."""

from typing import Any

from pydantic import PositiveFloat
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.loss._term import Output, Term
from prunus.probe._tokens import real_tokens
from prunus.probe.loss import Batch, answers, mean_distance

SPANS = ("start_logits", "end_logits")
NEVER = -1e30


class Logits(Term):
    """T^2 KL(softmax(z_teacher / T) || softmax(z_student / T)), the mean over answers.

    A sequence has one answer a token: those count that have a label or, without labels, belong to
    real tokens. Several answers, such as start and end of a span, are averaged; the ends of a span
    lie on real tokens. Regression and models without a head: mean squared error.

    Attributes:
        temperature: T.
    """

    temperature: PositiveFloat = 2.0

    def value(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """[] the divergence.

        Raises:
            PrunusError: the two answer different questions.
        """
        own, goal = (_answers(out, batch) for out in (student, teacher))
        shapes = [{name: tuple(z.shape) for name, z in said.items()} for said in (own, goal)]
        if not own or shapes[0] != shapes[1]:
            raise PrunusError(
                f"loss: logits: the student answers {shapes[0]}, the teacher {shapes[1]}: the same"
                " answers are needed; take a teacher with the student's head, labels and vocabulary"
            )
        return mean_distance(own, goal, batch, self.temperature)

    def require(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse a teacher that has the student's labels in another order.

        Raises:
            PrunusError: it has.
        """
        own, goal = (_labels(model) for model in (student, teacher))
        if own != goal and sorted(own) == sorted(goal):
            raise PrunusError(
                f"loss: logits: the student's labels are {own}, the teacher's {goal}: their order"
                " must be the same"
            )


def _labels(model: Any) -> list[str]:
    names = getattr(model.config, "id2label", None) or {}
    return [str(name).casefold() for _, name in sorted(names.items())]


def _answers(out: Output, batch: Batch) -> dict[str, Tensor]:
    said = answers(out)
    return {name: _inside(z, batch) if name in SPANS else z for name, z in said.items()}


def _inside(z: Tensor, batch: Batch) -> Tensor:
    """[sample, token] logits, with no chance for padding."""
    real = real_tokens(batch, "", z[..., None])
    return z if real is None else z.float().masked_fill(~real, NEVER)
