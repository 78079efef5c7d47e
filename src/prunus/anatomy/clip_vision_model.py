"""CLIP's vision encoder by itself."""

from prunus.anatomy._clip import stack, vision
from prunus.anatomy._family import Family
from prunus.anatomy._out_proj import NoHeads

FAMILY = Family(
    stacks=(stack(),),
    channels=vision(),
    empty=NoHeads,
    plain=(("intermediate_size", "neurons"),),
)
