"""Whether a teacher can teach a student: known from the two alone, before any pass."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from prunus.errors import PrunusError


def inner(model: nn.Module) -> Any:
    """The transformers model inside whatever it is wrapped in."""
    return next((own for own in model.modules() if isinstance(own, PreTrainedModel)), model)


def require_apart(student: nn.Module, teacher: nn.Module) -> None:
    """The teacher does not change with the student.

    Raises:
        PrunusError: it shares weights that learn.
    """
    learnt = {id(weight) for weight in student.parameters() if weight.requires_grad}
    shared = [name for name, weight in teacher.named_parameters() if id(weight) in learnt]
    if shared:
        raise PrunusError(
            f"loss: the teacher shares {len(shared)} weights with the student, such as"
            f" {shared[0]}, and would change with it; give copy.deepcopy(model)"
        )


def require_same_tokens(student: Any, teacher: Any) -> None:
    """The teacher reads the texts that the student reads.

    Raises:
        PrunusError: its vocabulary has another size.
    """
    sizes = [
        getattr(model.config.get_text_config(), "vocab_size", None) for model in (student, teacher)
    ]
    if sizes[0] != sizes[1]:
        raise PrunusError(
            f"loss: the student's vocabulary has {sizes[0]} tokens, the teacher's {sizes[1]}; the"
            " same texts must be the same numbers: take a teacher with the student's tokenizer"
        )
