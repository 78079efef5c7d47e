"""CLIP's vision encoder by itself."""

from prunus.anatomy._clip import NoHeads, stack, vision
from prunus.anatomy._family import Family

FAMILY = Family(
    stacks=(stack(),),
    channels=vision(),
    empty=NoHeads,
    plain=(("intermediate_size", "neurons"),),
)
