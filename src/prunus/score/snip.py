"""Connection sensitivity |w g| (SNIP, Lee et al., ICLR 2019, arXiv 1810.02340, equation 6)."""

from typing import ClassVar

from prunus.score._traced import Traced


class Snip(Traced):
    """The size of weight times gradient: in training, at the last step."""

    reads: ClassVar[tuple[str, ...]] = ("snip",)
