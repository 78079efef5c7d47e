"""How images vary in training: shifted, cut out and resized, mirrored.

What is drawn comes from torch's generator, which the training seeds.
"""

from math import exp, log
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10
Box = tuple[int, int, int, int]


def shifted(images: Tensor, by: int) -> Tensor:
    """Each image moved by up to ``by`` pixels either way, black moving in.

    Args:
        images: ``[image, channel, row, column]``.
        by: pixels; 4 for images of 32 (He et al., arXiv 1512.03385, section 4.2).
    """
    size = images.shape[-1]
    windows = pad(images, (by,) * 4).unfold(2, size, 1).unfold(3, size, 1)
    row, column = torch.randint(2 * by + 1, (2, len(images)))
    return windows[torch.arange(len(images)), :, row, column]


def mirrored(images: Tensor) -> Tensor:
    """Each image ``[image, channel, row, column]`` as it is or mirrored, with equal chances."""
    mirror = torch.rand(len(images)) < 0.5
    return torch.where(mirror[:, None, None, None], images.flip(-1), images)


def random_box(image: "Image") -> Box:
    """A part of an image (left, upper, right, lower) of 8 to 100 % of its area.

    Szegedy et al., arXiv 1409.4842, section 6: the ratio of the sides is drawn between 3/4 and 4/3,
    uniformly in its logarithm; where ten such parts do not fit, it is the largest square.
    """
    width, height = image.size
    for _ in range(TRIES):
        area = width * height * _between(*SCALE)
        ratio = exp(_between(log(RATIO[0]), log(RATIO[1])))
        wide, high = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < wide <= width and 0 < high <= height:
            left = int(torch.randint(width - wide + 1, ()))
            upper = int(torch.randint(height - high + 1, ()))
            return left, upper, left + wide, upper + high
    return middle(image, 1.0)


def middle(image: "Image", part: float) -> Box:
    """The square in the middle of an image whose side is a part of the shorter edge."""
    width, height = image.size
    side = max(1, round(part * min(width, height)))
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def _between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
