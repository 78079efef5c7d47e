"""Gradients of masks over blocks that remember: S <- 0.9 S + |dL/dm| (neural-compressor 2.x).

A mask m multiplies all weights of a block, so that dL/dm at m = 1 is the block's sum of weight
times gradient; no mask need be in the model.
"""

from typing import ClassVar

from prunus.score.snip_momentum import SnipMomentum


class BlockMask(SnipMomentum):
    """The size of the gradient of a unit's mask, summed over steps that fade.

    Attributes:
        keep: what stays of the steps before.
        new: the weight of a new step.
    """

    reads: ClassVar[tuple[str, ...]] = ("saliency",)
