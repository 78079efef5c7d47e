"""Large gradients stay."""

from typing import ClassVar

from prunus.score._traced import Traced


class Gradient(Traced):
    """The size of the gradient: in training, at the last step."""

    reads: ClassVar[tuple[str, ...]] = ("gradient_size",)
